//! The messages of upstream's function runner, as protobuf has them. Data only.

/// Where the one method of the service is called.
pub const PATH: &str = "/evaluator.FunctionEvaluator/EvaluateFunction";

/// What a function runner is asked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EvaluateFunctionRequest {
    /// A `ResourceList` as YAML.
    #[prost(bytes = "vec", tag = "1")]
    pub resource_list: Vec<u8>,
    /// The image of the function.
    #[prost(string, tag = "2")]
    pub image: String,
}

/// What a function runner answers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EvaluateFunctionResponse {
    /// The `ResourceList` that the function gave back.
    #[prost(bytes = "vec", tag = "1")]
    pub resource_list: Vec<u8>,
    /// What it said besides.
    #[prost(bytes = "vec", tag = "2")]
    pub log: Vec<u8>,
}
