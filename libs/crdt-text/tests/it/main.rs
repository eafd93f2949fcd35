//! Texts as documents hold them: written here and by Yjs, at the same time, by hostile peers.

mod edit;
mod hostile;
mod merge;
mod site;
