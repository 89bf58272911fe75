//! A proxy before the database that stalls: it counts the server's responses, and holds them back from one
//! of them on.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// The type of the message that ends an answer: the server is ready for a query.
const READY: u8 = b'Z';

/// A proxy before a server.
pub(super) struct StallingProxy {
    /// The URL to connect to.
    pub(super) url: String,
    /// How many answers may pass, of all that ever come.
    allowed: watch::Sender<u64>,
    /// How many have come.
    come: watch::Sender<u64>,
}

impl StallingProxy {
    /// A proxy before the database of this URL that passes everything on.
    pub(super) async fn to(database: &str) -> Self {
        let mut url = Url::parse(database).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        url.set_query(Some("sslmode=disable"));
        let proxy = Self {
            url: url.into(),
            allowed: watch::Sender::new(u64::MAX),
            come: watch::Sender::new(0),
        };
        let (allowed, come) = (proxy.allowed.clone(), proxy.come.clone());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect((server.0.as_str(), server.1)).await;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.unwrap().into_split();
                tokio::spawn(forward(from_client, to_server));
                let (allowed, come) = (allowed.clone(), come.clone());
                tokio::spawn(async move {
                    // Either end may go at any moment.
                    answer(from_server, to_client, &allowed, &come).await.ok();
                });
            }
        });
        proxy
    }

    /// Lets work go on for so many answers and drops it while it waits for the next one, which the
    /// server has given; its result if it was done before.
    pub(super) async fn cut_off<F: Future>(&self, work: F, answers: u64) -> Option<F::Output> {
        let last = *self.come.borrow() + answers;
        self.allowed.send_replace(last);
        let mut come = self.come.subscribe();
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            held = come.wait_for(|come| *come > last) => {
                held.unwrap();
                None
            }
        };
        self.allowed.send_replace(u64::MAX);
        done
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    copy(&mut from, &mut to).await.ok();
}

/// Hands messages on: a type, a length that counts itself, and the rest.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    allowed: &watch::Sender<u64>,
    come: &watch::Sender<u64>,
) -> std::io::Result<()> {
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
        from.read_exact(&mut rest).await?;
        if kind == READY {
            come.send_modify(|come| *come += 1);
            let number = *come.borrow();
            let mut allowed = allowed.subscribe();
            allowed.wait_for(|last| *last >= number).await.unwrap();
        }
        to.write_u8(kind).await?;
        to.write_u32(length).await?;
        to.write_all(&rest).await?;
    }
}
