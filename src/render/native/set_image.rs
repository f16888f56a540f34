//! `set-image`: another name, tag or digest for an image, wherever containers use it.

use serde_json::Value;

use super::{
    super::{Failure, List},
    config,
    field::{self, ANY, Field, found},
    report, resource,
};
use crate::api::ResultItem;

const OWN: &str = "SetImage";

/// Where containers have their images, whatever is around them.
const IMAGES: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// What is wanted; what is empty is not asked for.
struct Wish {
    name: String,
    new_name: String,
    new_tag: String,
    digest: String,
}

/// Sets the image that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    match set(list) {
        Ok(0) => Ok(vec![report::info(
            "no matching image found. no value changed",
        )]),
        Ok(changed) => Ok(vec![report::info(format!(
            "image set in {changed} place(s)"
        ))]),
        Err(why) => Err(report::failure(list, why)),
    }
}

fn set(list: &mut List) -> Result<usize, String> {
    let List {
        items,
        config,
        audience,
    } = list;
    let config = config.as_ref().ok_or_else(|| config::missing(OWN))?;
    let wish = Wish::of(config)?;
    let more = field::described(config, "additionalImageFields")?;
    let mut changed = 0;
    for item in items {
        audience.check()?;
        let object = &mut item.object;
        if resource::kind(object) != "CustomResourceDefinition" {
            wish.set_below(object, &mut changed);
        }
        for field in &more {
            wish.set_field(field, object, &mut changed)?;
        }
    }
    Ok(changed)
}

impl Wish {
    fn of(config: &Value) -> Result<Self, String> {
        let member = if config::is_config_map(config) {
            "data"
        } else if config::is_own(config, OWN) {
            "image"
        } else {
            return Err(config::unknown(config, OWN));
        };
        let text = |key: &str| config::text_at(&config[member], key);
        let wish = Self {
            name: text("name"),
            new_name: text("newName"),
            new_tag: text("newTag"),
            digest: text("digest"),
        };
        wish.check(member)?;
        Ok(wish)
    }

    fn check(&self, member: &str) -> Result<(), String> {
        if self.name.is_empty() {
            return Err(format!("`{member}.name` should not be empty"));
        }
        let (has_tag, has_digest) = (!self.new_tag.is_empty(), !self.digest.is_empty());
        if has_tag && has_digest {
            return Err("only one of `newTag` and `digest` can be given".into());
        }
        if self.new_name.is_empty() && !has_tag && !has_digest {
            return Err("one of `newName`, `newTag` and `digest` must be given".into());
        }
        Ok(())
    }

    /// Sets the image of all containers in a value.
    fn set_below(&self, value: &mut Value, changed: &mut usize) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    if IMAGES.contains(&key.as_str()) {
                        let image = found(ANY, ANY, "image");
                        // A field that is changed only where it is has nothing to complain of.
                        let _ = self.set_field(&image, inner, changed);
                    }
                    self.set_below(inner, changed);
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.set_below(item, changed)),
            _ => {}
        }
    }

    fn set_field(
        &self,
        field: &Field<'_>,
        object: &mut Value,
        changed: &mut usize,
    ) -> Result<(), String> {
        field.change(object, &mut |value| {
            let new = value.as_str().and_then(|old| self.image(old));
            if let Some(new) = new.filter(|new| value != new) {
                *value = new.into();
                *changed += 1;
            }
            Ok(())
        })
    }

    /// Returns what an image becomes; nothing if it is another.
    fn image(&self, old: &str) -> Option<String> {
        let (name, rest) = old.split_at(name_length(old));
        if name != self.name {
            return None;
        }
        let name = if self.new_name.is_empty() {
            name
        } else {
            &self.new_name
        };
        Some(match (self.new_tag.as_str(), self.digest.as_str()) {
            ("", "") => format!("{name}{rest}"),
            ("", digest) => format!("{name}@{digest}"),
            (tag, _) => format!("{name}:{tag}"),
        })
    }
}

/// Returns how much of an image is its name: a `:` before the last `/` is that of a port.
fn name_length(image: &str) -> usize {
    let end = image.find('@').unwrap_or(image.len());
    let last = image[..end].rfind('/').map_or(0, |at| at + 1);
    image[last..end].find(':').map_or(end, |at| last + at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{config_map, fails, list},
        *,
    };

    #[test]
    fn images_of_the_name_are_set() {
        for (data, image, want) in [
            (json!({"name": "nginx", "newTag": "2"}), "nginx", "nginx:2"),
            (
                json!({"name": "nginx", "newTag": "2"}),
                "nginx:1",
                "nginx:2",
            ),
            (
                json!({"name": "nginx", "newTag": 2}),
                "nginx@sha256:ab",
                "nginx:2",
            ),
            (
                json!({"name": "nginx", "newName": "my/n"}),
                "nginx:1@sha256:ab",
                "my/n:1@sha256:ab",
            ),
            (
                json!({"name": "nginx", "newName": "my/n", "newTag": "v"}),
                "nginx:1",
                "my/n:v",
            ),
            (
                json!({"name": "nginx", "digest": "sha256:cd"}),
                "nginx:1",
                "nginx@sha256:cd",
            ),
            (
                json!({"name": "h:5000/nginx", "newTag": "2"}),
                "h:5000/nginx",
                "h:5000/nginx:2",
            ),
            (
                json!({"name": "nginx", "newTag": "2"}),
                "my/nginx:1",
                "my/nginx:1",
            ),
            (
                json!({"name": "nginx", "newTag": "2"}),
                "nginx-x:1",
                "nginx-x:1",
            ),
        ] {
            let text = format!(
                "apiVersion: my.io/v1\nkind: Own\nspec:\n  deep:\n  - containers:\n    - image: {image}\n    initContainers: [{{image: '{image}', name: x}}]\nimage: {image}\n"
            );
            let mut given = list(&[&text], config_map(&data));
            run(&mut given).unwrap();
            let object = &given.items[0].object;
            let got = [
                "/spec/deep/0/containers/0/image",
                "/spec/deep/0/initContainers/0/image",
            ];
            for pointer in got {
                assert_eq!(object.pointer(pointer), Some(&json!(want)), "{data}");
            }
            assert_eq!(object["image"], image);
        }
    }

    #[test]
    fn more_fields_can_be_named() {
        let config = json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetImage", "image": {"name": "a", "newTag": "2"},
            "additionalImageFields": [{"group": "my.io", "kind": "Own", "path": "spec/manifest/images[]/image"}]});
        let own = "apiVersion: my.io/v1\nkind: Own\nspec: {manifest: {images: [{image: 'a:1'}, {image: b}]}}\n";
        let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {containers: {image: 'a:1'}}\n";
        let mut given = list(&[own, definition], config.clone());
        let told = run(&mut given).unwrap();
        assert_eq!(told[0].message, "image set in 1 place(s)");
        assert_eq!(
            given.items[0].object["spec"]["manifest"]["images"],
            json!([{"image": "a:2"}, {"image": "b"}])
        );
        assert_eq!(given.items[1], list(&[own, definition], config).items[1]);
        let told = run(&mut given).unwrap();
        assert_eq!(told[0].message, "no matching image found. no value changed");
    }

    #[test]
    fn what_is_wrong_fails() {
        for (config, why) in [
            (Value::Null, "FunctionConfig is missing"),
            (json!({"kind": "X"}), "unknown functionConfig Kind=X"),
            (
                config_map(&json!({"newTag": "1"})),
                "`data.name` should not be empty",
            ),
            (
                config_map(&json!({"name": "a"})),
                "one of `newName`, `newTag` and `digest` must be given",
            ),
            (
                config_map(&json!({"name": "a", "newTag": "1", "digest": "d"})),
                "only one of `newTag` and `digest`",
            ),
        ] {
            fails(run, &mut list(&["kind: A\n"], config), why);
        }
    }
}
