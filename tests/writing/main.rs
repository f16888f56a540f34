//! What any server of `porch.kpt.dev` must do for those who write, asked through a client alone, with what came of it
//! looked up by git's command line. The checks take a server as their argument: here it is this process.

#[path = "../support/git_server.rs"]
mod git_server;
#[path = "../support/repository.rs"]
mod repository;

mod desk;
mod life;
mod plane;

/// Runs a check against a server of its own.
macro_rules! checks {
    ($($room:ident :: $check:ident),* $(,)?) => {
        $(
            mod $check {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn in_process() {
                    let plane = crate::plane::Plane::start().await;
                    crate::$room::$check(&plane.examined).await;
                }
            }
        )*
    };
}

checks![life::a_package_from_its_first_draft_to_its_end];
