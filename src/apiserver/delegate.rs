//! Questions that the cluster answers for this server: asked again when it stumbles, and their answers kept for a moment.
//!
//! In come questions; out go answers, or the last error. Nothing is decided here, and an error is never kept.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// How often a question is asked before it counts as unanswered.
const ATTEMPTS: usize = 5;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause between two attempts; each is half as long again as the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// How many answers are kept: what many users do within some seconds.
const KEPT: usize = 8192;

/// Answers that are kept for a moment. Questions are kept as digests, since there may be a token in them.
pub(super) struct Answers<T> {
    /// Each with the moment at which it is forgotten. Held for moments, never across a wait.
    known: Mutex<HashMap<[u8; 32], (Instant, T)>>,
}

impl<T: Clone> Answers<T> {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::default(),
        }
    }

    /// Returns the answer to a question, if it was kept and is still good.
    pub(super) fn get(&self, question: &[u8]) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = known.get(&digest(question))?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    /// Keeps an answer for so long.
    pub(super) fn keep(&self, question: &[u8], answer: T, lasting: Duration) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(digest(question), (now + lasting, answer));
    }
}

fn digest(question: &[u8]) -> [u8; 32] {
    Sha256::digest(question).into()
}

/// Asks until there is an answer, or as often as makes sense.
///
/// # Errors
/// The last error: the cluster refuses, or does not answer. It holds nothing of the question.
pub(super) async fn ask<T, F>(question: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let (why, again) = match tokio::time::timeout(PATIENCE, question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) => {
                let again = status.code == 429 || status.code >= 500;
                (status.message.clone(), again)
            }
            Ok(Err(error)) => (error.to_string(), true),
            Err(_) => (format!("no answer within {PATIENCE:?}"), true),
        };
        if !again || attempt == ATTEMPTS {
            return Err(why);
        }
        tokio::time::sleep(pause).await;
        pause = pause * 3 / 2;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time_and_no_longer() {
        let answers = Answers::new();
        answers.keep(b"a", 1, Duration::from_secs(10));
        assert_eq!((answers.get(b"a"), answers.get(b"b")), (Some(1), None));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(answers.get(b"a"), Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(answers.get(b"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_bounded() {
        let answers = Answers::new();
        for number in 0..KEPT * 2 {
            answers.keep(&number.to_le_bytes(), number, Duration::from_secs(10));
            assert!(answers.known.lock().unwrap().len() <= KEPT);
        }
    }

    fn failure(code: u16) -> kube::Error {
        let status = kube::core::Status::failure("no", "Reason").with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stumble_is_asked_again_and_a_refusal_is_not() {
        for (code, asked) in [(503, 5), (500, 5), (429, 5), (403, 1), (404, 1)] {
            let count = Cell::new(0);
            let told = ask(|| async {
                count.set(count.get() + 1);
                Err::<(), _>(failure(code))
            });
            assert_eq!(told.await, Err("no".into()), "{code}");
            assert_eq!(count.get(), asked, "{code}");
        }
        let count = Cell::new(0);
        let told = ask(|| async {
            count.set(count.get() + 1);
            if count.get() < 3 {
                std::future::pending::<()>().await;
            }
            Ok(count.get())
        });
        assert_eq!(told.await, Ok(3));
    }
}
