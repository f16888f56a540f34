//! The flags about rendering, which both servers have.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};

use super::duration;
use crate::render;

/// Where functions run that are not in this program, and how much they may take.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Functions of packages")]
pub struct Functions {
    /// The namespace whose FunctionConfigs say which images stand for which functions: whoever may write them decides what runs
    /// here [default: porch-fn-system; standalone: default].
    #[arg(long, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub pod_namespace: Option<String>,
    /// A function runner as upstream's, called over gRPC for every function that is not in this program.
    #[arg(long, value_name = "HOST:PORT")]
    pub function_runner: Option<String>,
    /// A directory of executables that are functions: `…/NAME:TAG` is the file that a FunctionConfig names, or else `NAME@TAG`, or
    /// else `NAME`. They read and write a `ResourceList`, have no network where the kernel allows, and run as this server's user.
    #[arg(long, value_name = "DIR")]
    pub functions: Option<PathBuf>,
    /// What stands before an image that has no home, as `set-labels:v0.2`.
    #[arg(long, value_name = "PREFIX", default_value = render::DEFAULT_IMAGE_PREFIX)]
    pub default_image_prefix: String,
    /// How long one function may take.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub function_timeout: Duration,
    /// How many packages are rendered at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_renders: u32,
}
