//! The routes that Torrust does not have, asked for over real sockets.

mod api;
mod http;
mod in_process;
mod routes;
mod support;
