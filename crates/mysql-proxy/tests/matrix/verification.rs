//! MariaDB's clients since 11.4 verify a server's certificate unless they are told not to: what they say to each that the
//! proxy may have. Left out: certificates of a CA that the client was not told of.

use testkit::{MariaDb118, ProxyProcess, ScratchDirectory, Server, process};

use crate::{
    BINARY,
    certificate::Certificate,
    clients::{DEADLINE, Target, log_in, mariadb118},
    page::Row,
};

/// Clients verify nothing at 127.0.0.1, which nobody can get in between of.
const ADDRESS: &str = "--proxy-address=127.0.0.2:0";

/// A way to set up the proxy and its client.
struct Setup<'a> {
    text: &'static str,
    server: &'a Option<Server>,
    files: Option<&'a Certificate>,
    proxy_option: &'static str,
    client_option: Option<String>,
    is_accepted: bool,
}

/// A row for each way.
///
/// # Panics
/// When a client accepts what it should not, or refuses what it should accept.
pub(crate) fn rows(signed: &Certificate) -> Vec<Row> {
    let scratch = ScratchDirectory::new();
    let own = Certificate::self_signed(scratch.path(), "own");
    let automatic = MariaDb118::start(&[]);
    let with_files = MariaDb118::start(&own.options().each_ref().map(String::as_str));
    let ca = format!("--ssl-ca={}", signed.ca().display());
    let setups = [
        Setup {
            text: "the server's, passed through: `--client-ssl-mode=PASSTHROUGH`",
            server: &automatic,
            files: None,
            proxy_option: "--client-ssl-mode=PASSTHROUGH",
            client_option: None,
            is_accepted: true,
        },
        Setup {
            text: "the server's own files, TLS with the server",
            server: &with_files,
            files: Some(&own),
            proxy_option: "--server-ssl-mode=AS_CLIENT",
            client_option: None,
            is_accepted: true,
        },
        Setup {
            text: "signed by a CA, which the client is told: `--ssl-ca`",
            server: &automatic,
            files: Some(signed),
            proxy_option: "--server-ssl-mode=AS_CLIENT",
            client_option: Some(ca.clone()),
            is_accepted: true,
        },
        Setup {
            text: "signed by a CA, which the client is told, no TLS with the server",
            server: &automatic,
            files: Some(signed),
            proxy_option: "--server-ssl-mode=DISABLED",
            client_option: Some(ca),
            is_accepted: true,
        },
        Setup {
            text: "the one that the proxy makes",
            server: &automatic,
            files: None,
            proxy_option: "--server-ssl-mode=AS_CLIENT",
            client_option: None,
            is_accepted: false,
        },
        Setup {
            text: "the one that the proxy makes, client with `--disable-ssl-verify-server-cert`",
            server: &automatic,
            files: None,
            proxy_option: "--server-ssl-mode=AS_CLIENT",
            client_option: Some("--disable-ssl-verify-server-cert".to_owned()),
            is_accepted: true,
        },
    ];
    setups.iter().map(Setup::row).collect()
}

impl Setup<'_> {
    fn row(&self) -> Row {
        let cell = self.server.as_ref().map(|server| self.cell(server));
        (self.text.to_owned(), vec![cell])
    }

    fn cell(&self, server: &Server) -> String {
        let backend = format!("--proxy-backend-addresses={}", server.address());
        let files = self.files.map(Certificate::options);
        let mut options = vec![backend.as_str(), self.proxy_option, ADDRESS];
        options.extend(files.iter().flatten().map(String::as_str));
        let proxy = ProxyProcess::start(BINARY, &options);
        let target = Target {
            address: proxy.address(),
            user: "app",
            ca: None,
        };
        let mut client = process::command(mariadb118());
        client.arg("--no-defaults");
        log_in(&mut client, &target, "app");
        client.args(&self.client_option);
        client.args(["--batch", "--skip-column-names", "--execute=SELECT 'in'"]);
        let finished = process::run(client, DEADLINE);
        let said = format!("{}{}", finished.text(), finished.stderr);
        assert_eq!(
            finished.status.success(),
            self.is_accepted,
            "{}: {said}",
            self.text
        );
        if self.is_accepted {
            assert_eq!(said, "in\n", "{}", self.text);
            return "ok".to_owned();
        }
        assert!(said.contains("ERROR 2026"), "{}: {said}", self.text);
        "refuses the certificate: error 2026".to_owned()
    }
}
