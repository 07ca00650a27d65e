//! `init`, `invite`, `join`.

use crate::failure::{Failure, unseen};
use crate::lab::NODES;
use crate::stage::Stage;

/// How much of a token is shown, in characters.
const TOKEN_CHARS_SHOWN: usize = 12;

pub async fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.screen.part(
        "Three machines become a fleet",
        "The first makes the fleet in the shared directory and invites the others; each joins with its token. (All commands are shown as \
         they are typed; which configuration and which node is meant, each machine knows.)",
    ).await;
    stage.type_in(0, "certfleet init").await?;
    for (node, name) in NODES.iter().enumerate().skip(1) {
        let shown = format!("certfleet invite {name}");
        let printed = stage.certfleet.type_in(&stage.screen, &stage.lab, 0, &["invite", name], &shown).await?;
        let token = printed.stdout.trim();
        if token.is_empty() {
            return unseen(format!("`{shown}` printed no token: {}", printed.stderr));
        }
        let short: String = token.chars().take(TOKEN_CHARS_SHOWN).collect();
        stage.screen.output(&format!("{short}…\n{}", printed.stderr));
        let printed =
            stage.certfleet.type_in(&stage.screen, &stage.lab, node, &["join", token], &format!("certfleet join {short}…")).await?;
        stage.screen.output(&printed.stderr);
    }
    Ok(())
}
