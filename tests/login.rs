//! Logging in to the pages, over real sockets; and those who try it in other ways.

mod api;
mod http;
mod in_process;
mod logged_in;

use api::*;
use logged_in::*;

fn start() -> Api {
    Api::start_with(add_user)
}

#[test]
fn a_user_logs_in_sees_the_pages_and_logs_out() {
    let api = start();
    let admin = LoggedIn::at(api.address());
    let page = admin.page("/admin/operations");
    assert!(page.contains("<strong>root</strong>") && page.contains("Write a snapshot"));
    let page = admin.change("/admin/operations/snapshot", &[]);
    assert!(page.contains("The snapshot was written."), "{page}");
    let page = admin.page("/admin/operations");
    assert!(!page.contains("The snapshot was written."), "once");
    let left = admin.post("/logout", &[]);
    assert_eq!(
        (left.status, left.header("location")),
        (303, Some("/login?left=1"))
    );
    let response = admin.get("/admin/operations");
    assert_eq!(
        response.header("location"),
        Some("/login?next=%2Fadmin%2Foperations")
    );
}
