//! Tells a connection what its requests are doing, so that it knows whether it is idle and who is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use http_body::{Body as _, Frame, SizeHint};

use crate::listen::BoundedListener;
use crate::places::{Count, Peer};

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Around every request.
pub(crate) async fn watch(request: Request, next: Next) -> Response {
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>().cloned() else {
        return next.run(request).await;
    };
    let answering = peer.activity.answer();
    let request = if request.body().is_end_stream() {
        request
    } else {
        request.map(|body| Body::new(Watched { body, _count: peer.activity.receive() }))
    };
    next.run(request).await.map(|body| Body::new(Watched { body, _count: answering }))
}

/// A body, and what is counted until it is dropped.
struct Watched {
    body: Body,
    _count: Count,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
