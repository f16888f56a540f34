//! What this control plane must know of a kind.
//!
//! In comes a custom resource definition, or one of the kinds that are built in; out goes what the API serves of it and
//! what is asked of its objects.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use super::{
    Error,
    columns::{self, Cell},
    path::Path,
    rules::Rules,
};
use crate::apiserver::{self, Column, FieldError, Kind, Naming, Shape, Subject, Subresource};

/// Finds what is wrong with an object, given what was before.
pub type Check = fn(&Value, Option<&Value>) -> Vec<FieldError>;

/// Rules of a built-in kind that no schema can say.
#[derive(Clone, Copy, Default)]
pub struct Rule {
    /// Brings an object into the form that is kept, before anything is checked.
    pub prepare: Option<fn(&mut Value)>,
    /// Finds what is wrong with an object, given what was before.
    pub check: Option<Check>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Rule({}, {})",
            self.prepare.is_some(),
            self.check.is_some()
        )
    }
}

/// A kind, as this control plane keeps and serves it.
#[derive(Debug)]
pub struct Definition {
    /// What the API serves of it.
    pub kind: Kind,
    /// Where the cells of its columns come from.
    pub cells: Vec<Cell>,
    /// What an object may be.
    pub schema: Shape,
    /// What the definition's rules say.
    pub rules: Option<Rules>,
    /// Whether it is one of a custom resource definition: stricter in some ways than a built-in kind.
    pub custom: bool,
    /// Whether `status` is written apart from the rest.
    pub status: bool,
    /// Whether it is kept who set which field, from the creation on.
    pub tracked: bool,
    /// How many objects a namespace keeps; the oldest go. For kinds that nobody deletes.
    pub most: Option<usize>,
    /// What names look like.
    pub naming: Naming,
    /// What else is to be kept.
    pub rule: Rule,
}

impl Definition {
    /// Returns the kind that a custom resource definition defines in its stored version.
    ///
    /// # Errors
    /// [`Error::Definition`] if it says what this control plane does not do.
    pub fn custom(definition: &CustomResourceDefinition) -> Result<Self, Error> {
        let kind = definition.spec.names.kind.clone();
        Self::defined(definition).map_err(|why| Error::Definition { kind, why })
    }

    fn defined(definition: &CustomResourceDefinition) -> Result<Self, String> {
        let spec = &definition.spec;
        let version = spec.versions.iter().find(|version| version.storage);
        let version = version.ok_or("no version of it is stored")?;
        let raw = raw(version)?;
        let (columns, cells) = printed(version)?;
        let names = &spec.names;
        let status = version
            .subresources
            .as_ref()
            .is_some_and(|some| some.status.is_some());
        let mut short_names = names.short_names.clone().unwrap_or_default();
        short_names.sort();
        let kind = Kind {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: names.kind.clone(),
            list_kind: names
                .list_kind
                .clone()
                .unwrap_or_else(|| format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: names
                .singular
                .clone()
                .unwrap_or_else(|| names.kind.to_lowercase()),
            short_names,
            refusals: Vec::new(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: spec.scope == "Namespaced",
            verbs: verbs(),
            selectable: selectable(version),
            columns,
            subresources: status.then(status_subresource).into_iter().collect(),
            schema: apiserver::Schema::inline(
                model(&spec.group, &version.name, &names.kind),
                raw.clone(),
            ),
        };
        Ok(Self {
            kind,
            cells,
            schema: Shape::parse(&raw)?,
            rules: Rules::compile(&raw)?,
            custom: true,
            status,
            tracked: true,
            most: None,
            naming: Naming::Subdomain,
            rule: Rule::default(),
        })
    }

    /// Returns the same kind, for which it is not kept who set which field until somebody applies it: for kinds that
    /// programs write often, and whole.
    #[must_use]
    pub fn untracked(mut self) -> Self {
        self.tracked = false;
        self
    }

    /// Returns the object `name` of this kind, as a failure names it.
    #[must_use]
    pub fn subject(&self, name: &str) -> Subject {
        Subject::new(&self.kind.group, &self.kind.plural, name)
    }

    /// Returns the same, where a failure names the kind and not the resource.
    #[must_use]
    pub fn kind_subject(&self, name: &str) -> Subject {
        Subject::new(&self.kind.group, &self.kind.kind, name)
    }

    /// Returns `group/version`, or the version alone for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        self.kind.api_version()
    }
}

/// Returns everything that may be done with the kinds of this control plane.
pub(super) fn verbs() -> Vec<String> {
    [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ]
    .map(String::from)
    .to_vec()
}

fn status_subresource() -> Subresource {
    Subresource {
        name: "status".into(),
        verbs: ["get", "patch", "update"].map(String::from).to_vec(),
        plain: false,
    }
}

/// Returns the name under which kube-apiserver describes a kind: its group reversed, its version, its kind.
fn model(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').rev().collect();
    parts.extend([version, kind]);
    parts.join(".")
}

fn raw(version: &CustomResourceDefinitionVersion) -> Result<Value, String> {
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = schema.ok_or("it has no schema")?;
    serde_json::to_value(schema).map_err(|error| error.to_string())
}

fn selectable(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let own = ["metadata.name".to_owned(), "metadata.namespace".to_owned()];
    let more = version.selectable_fields.iter().flatten();
    own.into_iter()
        .chain(more.map(|field| field.json_path.trim_start_matches('.').to_owned()))
        .collect()
}

fn printed(version: &CustomResourceDefinitionVersion) -> Result<(Vec<Column>, Vec<Cell>), String> {
    let mut printed = vec![columns::name()];
    for definition in version.additional_printer_columns.iter().flatten() {
        printed.push(custom_column(definition)?);
    }
    if printed.len() == 1 {
        printed.push(columns::age());
    }
    Ok(printed.into_iter().unzip())
}

fn custom_column(definition: &CustomResourceColumnDefinition) -> Result<(Column, Cell), String> {
    let path = Path::parse(&definition.json_path).ok_or_else(|| {
        format!(
            "the path {:?} of a column is not understood",
            definition.json_path
        )
    })?;
    let cell = if definition.type_ == "date" {
        Cell::Since(path)
    } else {
        Cell::Plain(path)
    };
    let column = Column {
        name: definition.name.clone(),
        type_: definition.type_.clone(),
        format: definition.format.clone().unwrap_or_default(),
        description: definition.description.clone().unwrap_or_default(),
        priority: definition.priority.unwrap_or(0),
    };
    Ok((column, cell))
}
