//! The story, one act in each file.

mod comeback;
mod first;
mod fleet;
pub mod look_around;
mod renewal;
mod setting;
mod table;

use std::path::PathBuf;

use crate::failure::Failure;
use crate::screen::Screen;
use crate::stage::Stage;

/// Everything, in order; the stage is given back as it is at the end.
pub async fn story(screen: Screen, dir: PathBuf) -> Result<Stage, Failure> {
    let mut stage = setting::play(screen, &dir).await?;
    fleet::play(&mut stage).await?;
    let first = first::play(&mut stage).await?;
    comeback::play(&mut stage, &first).await?;
    let second = renewal::play(&mut stage, &first).await?;
    table::play(&stage, &first, &second).await?;
    Ok(stage)
}
