//! A real nginx in front of the tracker: in the foreground, one process, in a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::in_process::PATIENCE;
use crate::support::{LOOK_AGAIN, Process};

/// The module of Debian's package libnginx-mod-stream; elsewhere it may be built in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Where Debian has it, which is not on everybody's path.
const NGINX: &str = "/usr/sbin/nginx";

/// A running nginx.
pub(crate) struct Nginx {
    process: Process,
    _folder: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Passes requests on with HTTP/1.1 over kept connections, and names the client in a header.
    /// `upstream` is an address, or `unix:` and a path.
    pub(crate) fn passing_http(upstream: &str, header: &str) -> Self {
        Self::start(|address, folder| {
            let folder = folder.display();
            format!(
                "http {{
                    access_log off;
                    client_body_temp_path {folder}/body;
                    proxy_temp_path {folder}/proxy;
                    fastcgi_temp_path {folder}/fastcgi;
                    uwsgi_temp_path {folder}/uwsgi;
                    scgi_temp_path {folder}/scgi;
                    upstream shoal {{ server {upstream}; keepalive 4; }}
                    server {{
                        listen {address};
                        location / {{
                            proxy_pass http://shoal;
                            proxy_http_version 1.1;
                            proxy_set_header Connection \"\";
                            proxy_set_header {header};
                        }}
                    }}
                }}"
            )
        })
    }

    /// Passes connections on, each with a header of the PROXY protocol.
    pub(crate) fn passing_connections(upstream: &str) -> Self {
        Self::start(|address, _| {
            format!(
                "stream {{
                    server {{
                        listen {address};
                        proxy_pass {upstream};
                        proxy_protocol on;
                    }}
                }}"
            )
        })
    }

    fn start(blocks: impl FnOnce(SocketAddr, &Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let module = if Path::new(STREAM_MODULE).exists() {
            format!("load_module {STREAM_MODULE};")
        } else {
            String::new()
        };
        let path = folder.path().display();
        // A master would leave its worker behind when it is killed.
        let text = format!(
            "{module} daemon off; master_process off; pid {path}/pid; error_log stderr;
             events {{ worker_connections 64; }}
             {}",
            blocks(address, folder.path())
        );
        let config = folder.path().join("nginx.conf");
        fs::write(&config, text).unwrap();
        let program = if Path::new(NGINX).exists() {
            NGINX
        } else {
            "nginx"
        };
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(config);
        command.args(["-e", "stderr"]).stdin(Stdio::null());
        let mut nginx = Self {
            process: Process::spawn("nginx", &mut command),
            _folder: folder,
            address,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = nginx.process.ended();
            assert!(ended.is_none(), "nginx ended; what it said stands above");
            assert!(Instant::now() < deadline, "nginx never listens");
            thread::sleep(LOOK_AGAIN);
        }
        nginx
    }
}

/// A port below those that the kernel hands out, so that nobody is given it meanwhile.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() % 1_000) as u16 * 10 + number;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
