//! Agents as processes.
