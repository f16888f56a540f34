//! YAML: typed reading as Kubernetes' tools read it, in one place.
