//! TLS to PostgreSQL and to providers with an authority of one's own: trusted where it is named, refused
//! everywhere else. And a redirect, which takes no token anywhere.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use paysync::launcher::{Cluster, Options};
use paysync::store::Store;
use paysync_simulator::Provider;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::support::daemon::paysync;
use crate::support::servers;
use crate::support::{assert_exact, config_text, eventually, history, start, sync_covers};

const PROVIDERS: [Provider; 1] = [Provider::Convergegate];

const SETTINGS: &str = "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\n";

/// Authorities that no system knows, good for a hundred years; their keys are gone:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 36500 -subj /CN=authority -addext keyUsage=keyCertSign`.
const AUTHORITY: &str = include_str!("tls/authority.pem");
const OTHER: &str = include_str!("tls/other.pem");

/// What the first of them vouches for: a server at 127.0.0.1 (`openssl x509 -req`, `subjectAltName=IP:127.0.0.1`).
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A folder that the server's user may enter.
fn folder() -> TempDir {
    let mode = Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .permissions(mode)
        .tempdir()
        .unwrap()
}

async fn run(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Has a server speak TLS. Its own user writes the files, as it accepts only a key that it owns.
async fn speak_tls(url: &str) {
    for (name, text) in [("server.crt", CERTIFICATE), ("server.key", KEY)] {
        let copy = format!(
            "COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM 'umask 077 && cat > {name}'"
        );
        run(url, &copy).await;
    }
    run(url, "ALTER SYSTEM SET ssl = on").await;
    run(url, "SELECT pg_reload_conf()").await;
    let url = format!("{url}?sslmode=require");
    eventually("TLS", async || PgConnection::connect(&url).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_trusted_by_its_certificate_only() {
    let folder = folder();
    let options = Options {
        directory: Some(folder.path().join("cluster")),
        durable: false,
        port: None,
    };
    let cluster = Cluster::start(&options).await.unwrap();
    let mut url = url::Url::parse(&cluster.create_database("paysync").await.unwrap()).unwrap();
    url.set_query(None);
    url.set_host(Some("127.0.0.1")).unwrap();
    let plain = url.to_string();
    let right = file(&folder, "authority.pem", AUTHORITY);
    let wrong = file(&folder, "other.pem", OTHER);
    let nothing = folder.path().join("nothing.pem");
    let verified = |host: &str, file: &PathBuf| {
        let mut url = url.clone();
        url.set_host(Some(host)).unwrap();
        format!("{url}?sslmode=verify-full&sslrootcert={}", file.display())
    };
    let refused = async |url: String, said: &str, hint: &str| {
        let text = format!("[database]\nurl = \"{url}\"\n");
        let (code, out, err) = paysync(&text, &["migrate"]).await;
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (1, "", 1),
            "{err}"
        );
        assert!(err.contains(said) && err.contains(hint), "{err}");
        let (code, out, _) = paysync(&text, &["check"]).await;
        assert!(code == 1 && out.contains(hint), "{out}");
    };

    let no_tls = "check sslmode and sslrootcert in database.url";
    refused(
        verified("127.0.0.1", &right),
        "does not support TLS",
        no_tls,
    )
    .await;
    speak_tls(&plain).await;

    let unknown = "sslrootcert=/path/authority.pem";
    refused(verified("127.0.0.1", &wrong), "UnknownIssuer", unknown).await;
    let unverifiable = format!("{plain}?sslmode=verify-full");
    refused(unverifiable, "UnknownIssuer", unknown).await;
    let named = "as the server's certificate does";
    refused(verified("localhost", &right), "not valid for name", named).await;
    let text = format!(
        "[database]\nurl = \"{}\"\n",
        verified("127.0.0.1", &nothing)
    );
    let (code, _, err) = paysync(&text, &["migrate"]).await;
    assert_eq!((code, err.lines().count()), (2, 1), "{err}");
    assert!(
        err.contains("sslrootcert: the file ") && err.contains("nothing.pem cannot be read"),
        "{err}"
    );

    let url = verified("127.0.0.1", &right);
    let store = Store::new(&url, 2).unwrap();
    store.migrate().await.unwrap();
    let safe = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let safe: bool = sqlx::query_scalar(safe)
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert!(safe);
    store.pool().close().await;
    let text = format!("[database]\nurl = \"{url}\"\n");
    let (code, out, err) = paysync(&text, &["check"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    cluster.stop().await.unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn a_provider_is_trusted_by_the_ca_file_of_its_account(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let address = servers::tls_before(
        simulator.addr(),
        CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap(),
        PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap(),
    )
    .await;
    let folder = folder();
    file(&folder, "authority.pem", AUTHORITY);
    file(&folder, "other.pem", OTHER);
    file(&folder, "both.pem", &format!("{OTHER}{AUTHORITY}"));
    let with = |ca_file: &str| {
        let more = match ca_file {
            "" => SETTINGS.to_owned(),
            name => format!(
                "{SETTINGS}ca_file = \"{}\"\n",
                folder.path().join(name).display()
            ),
        };
        let text = config_text(&simulator, &pool, &PROVIDERS, &more);
        let plain = format!("http://{}", simulator.addr());
        assert!(text.contains(&plain), "{text}");
        text.replace(&plain, &format!("https://{address}"))
    };
    for unknown in ["", "other.pem"] {
        let (code, out, _) = paysync(&with(unknown), &["check"]).await;
        assert_eq!(code, 1, "{out}");
        for part in [
            "invalid peer certificate",
            "name that in the account's ca_file",
        ] {
            assert!(out.contains(part), "{out}");
        }
    }
    for known in ["authority.pem", "both.pem"] {
        let (code, out, err) = paysync(&with(known), &["check"]).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
    sync_covers(&with("authority.pem")).await;
    assert_exact(&pool, &simulator, &PROVIDERS).await;

    // A file without a certificate is reported before any request.
    file(&folder, "none.pem", "nothing\n");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    file(&folder, "broken.pem", broken);
    for (name, said) in [
        ("missing.pem", "cannot be read"),
        ("none.pem", "contains no certificate"),
        ("broken.pem", "cannot be used"),
    ] {
        let (code, out, err) = paysync(&with(name), &["check"]).await;
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (2, "", 1),
            "{err}"
        );
        assert!(err.contains("ca_file: ") && err.contains(said), "{err}");
    }
    simulator.stop().await;
}

#[sqlx::test(migrations = "./migrations")]
async fn a_redirect_does_not_leak_the_token(pool: PgPool) {
    let simulator = start(history(10, 1)).await;
    let (address, visitors, requests) = servers::redirecting().await;
    let text = config_text(&simulator, &pool, &PROVIDERS, SETTINGS);
    let text = text.replace(&simulator.addr().to_string(), &address.to_string());
    let (code, out, _) = paysync(&text, &["check"]).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("status 307") && out.contains("set base_url to the final address"),
        "{out}"
    );
    let (code, _, err) = paysync(&text, &["sync", "--give-up-after", "1s"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(
        requests.lock().unwrap().contains("simulator-token"),
        "it was asked"
    );
    assert_eq!(
        visitors.load(Ordering::Relaxed),
        0,
        "the redirect was followed"
    );
    simulator.stop().await;
}
