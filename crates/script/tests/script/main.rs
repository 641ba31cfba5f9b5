//! Scripts as an operator writes them, called as a session calls them.

mod support;

mod environments;
mod hooks;
mod limits;
mod loading;
mod misuse;
mod modules;
mod objects;
mod pool;
