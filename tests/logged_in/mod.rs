//! A user who is logged in to the pages of a tracker.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::net::SocketAddr;

use argon2::password_hash::PasswordHasher as _;
use argon2::{Algorithm, Argon2, Params, Version};
use shoal::config::{Config, Secret};

use crate::api::ask;
use crate::http::{Browser, Response};

/// A user, and his password.
pub const USER: &str = "root";
pub const PASSWORD: &str = "correct horse";

/// What a form is sent with.
pub const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Gives a configuration the user.
pub fn add_user(config: &mut Config) {
    let users = &mut config.control.users;
    users.insert(USER.to_owned(), hash(PASSWORD, 8));
}

/// The hash of a password that takes so many KiB to work through; 8 is the least there can be.
pub fn hash(password: &str, memory_kib: u32) -> Secret {
    let costs = Params::new(memory_kib, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs);
    let hash = argon2.hash_password(password.as_bytes()).unwrap();
    Secret::new(&hash.to_string())
}

/// Somebody with a session.
pub struct LoggedIn {
    pub server: SocketAddr,
    /// `name=value` of the cookie.
    pub cookie: String,
}

impl LoggedIn {
    /// Logs in as the user.
    pub fn at(server: SocketAddr) -> Self {
        let response = log_in(server, USER, PASSWORD, "/admin", "");
        assert_eq!(response.status, 303, "{}", response.text());
        assert_eq!(response.header("location"), Some("/admin"));
        let cookie = cookie_of(&response);
        Self { server, cookie }
    }

    pub fn get(&self, target: &str) -> Response {
        let headers = format!("Cookie: {}\r\n", self.cookie);
        ask(&mut Browser::of(self.server), "GET", target, &headers, "")
    }

    /// The text of a page that must be there.
    #[track_caller]
    pub fn page(&self, target: &str) -> String {
        let response = self.get(target);
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        response.text()
    }

    /// Sends a form with the token of the session.
    pub fn post(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        let token = self.csrf();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        self.send(target, &form(&fields), "")
    }

    /// Sends a body as a form, as it is.
    pub fn send(&self, target: &str, body: &str, headers: &str) -> Response {
        let headers = format!("Cookie: {}\r\n{FORM}{headers}", self.cookie);
        ask(
            &mut Browser::of(self.server),
            "POST",
            target,
            &headers,
            body,
        )
    }

    /// Sends a form, which must lead to another page, and follows it there.
    #[track_caller]
    pub fn change(&self, target: &str, fields: &[(&str, &str)]) -> String {
        let response = self.post(target, fields);
        assert_eq!(response.status, 303, "{target}: {}", response.text());
        self.page(response.header("location").unwrap())
    }

    /// The token that every form of this session has.
    pub fn csrf(&self) -> String {
        let page = self.page("/admin/operations");
        let (_, rest) = page.split_once(r#"name="csrf" value=""#).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

/// Sends the form to log in.
pub fn log_in(
    server: SocketAddr,
    name: &str,
    password: &str,
    next: &str,
    headers: &str,
) -> Response {
    let body = form(&[("name", name), ("password", password), ("next", next)]);
    let headers = format!("{FORM}{headers}");
    ask(&mut Browser::of(server), "POST", "/login", &headers, &body)
}

/// `name=value` of the cookie that a response sets.
#[track_caller]
pub fn cookie_of(response: &Response) -> String {
    let field = response.header("set-cookie").expect("a cookie");
    field.split(';').next().unwrap().to_owned()
}

/// Fields as a browser sends them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields).finish()
}
