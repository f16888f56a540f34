//! What any server of `porch.kpt.dev` must do for those who write, asked through a client alone, with what came of it
//! looked up by git's command line. The checks take a server as their argument: here it is this process.

mod alone;
mod applied;
mod checks;
mod contents;
mod copies;
mod crowd;
mod declared;
mod desk;
#[path = "../support/git_server.rs"]
mod git_server;
mod hostile;
mod life;
mod owned;
mod refusals;
mod rendering;
#[path = "../support/repository.rs"]
mod repository;
mod server;
mod strangers;
mod upgrades;
