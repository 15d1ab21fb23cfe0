//! Single requests to the bucket, each tried once.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
};

use crate::error::BucketError;
use crate::failure::Failure;
use crate::http::Transport;
use crate::run::to_the_end;
use crate::settings::Settings;
use crate::url::BucketUrl;

/// The user metadata (`x-amz-meta-countersign-write`) that says whose write an object is.
const MARK: &str = "countersign-write";

/// One bucket at one server.
#[derive(Debug)]
pub(crate) struct Wire {
    store: AmazonS3,
    /// Random, so that the marks of two processes differ.
    process: String,
    writes: AtomicU64,
}

/// An object as it was read.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Option<String>,
    pub(crate) mark: Option<String>,
}

/// When a write is to happen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum If<'a> {
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match`, with the object's entity tag.
    Unchanged(&'a str),
}

/// What readers of the bucket, such as a CDN, may do with an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It never changes.
    Object,
    /// It does.
    Cell,
}

/// One page of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    pub(crate) next: Option<String>,
}

impl Wire {
    pub(crate) fn new(url: &BucketUrl, settings: &Settings) -> Result<Self, BucketError> {
        let mut random = [0; 16];
        let unusable = |name, why| BucketError::Setting { name, why };
        getrandom::fill(&mut random).map_err(|error| unusable("getrandom", error.to_string()))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(url.bucket())
            .with_region(&settings.region)
            .with_access_key_id(&settings.key)
            .with_secret_access_key(settings.secret.as_str())
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Transport::new(settings));
        if let Some(token) = &settings.token {
            builder = builder.with_token(token.as_str());
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(&endpoint.url).with_allow_http(!endpoint.tls);
        }
        let store = builder.build().map_err(|error| unusable("AWS_ENDPOINT_URL", error.to_string()))?;
        Ok(Self { store, process: hex::encode(random), writes: AtomicU64::new(0) })
    }

    /// A mark that no other write has.
    pub(crate) fn mark(&self) -> String {
        format!("{}-{}", self.process, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn get(&self, key: &Path) -> Result<Option<Stored>, Failure> {
        let read = async {
            let found = self.store.get_opts(key, GetOptions::default()).await?;
            let mark = found.attributes.get(&Attribute::Metadata(MARK.into()));
            let (tag, mark) = (found.meta.e_tag.clone(), mark.map(|mark| mark.as_ref().to_owned()));
            Ok(Stored { bytes: found.bytes().await?.into(), tag, mark })
        };
        Failure::of(to_the_end(read))
    }

    /// Writes if the condition holds, and gives the new entity tag.
    pub(crate) fn put(
        &self,
        key: &Path,
        bytes: &[u8],
        condition: If<'_>,
        kind: Kind,
        mark: &str,
    ) -> Result<Option<String>, Failure> {
        let mode = match condition {
            If::Absent => PutMode::Create,
            If::Unchanged(tag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None })
            }
        };
        // What tlog-tiles, section "Parameters" and following, says that a log's files are served with.
        let (content, cache) = match kind {
            Kind::Object => ("application/octet-stream", "public, max-age=31536000, immutable"),
            Kind::Cell => ("text/plain; charset=utf-8", "no-cache"),
        };
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, content.to_owned()),
            (Attribute::CacheControl, cache.to_owned()),
            (Attribute::Metadata(MARK.into()), mark.to_owned()),
        ]);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let put = self.store.put_opts(key, PutPayload::from(bytes.to_vec()), options);
        match Failure::of(to_the_end(put))? {
            Some(done) => Ok(done.e_tag),
            // What `If-Match` asks for is not there.
            None => Err(Failure::Unmet),
        }
    }

    /// A page of the keys that begin with `prefix` and come after `after`.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        token: Option<&str>,
    ) -> Result<Page, Failure> {
        let options = PaginatedListOptions {
            offset: after.map(str::to_owned),
            page_token: token.map(str::to_owned),
            ..Default::default()
        };
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let Some(page) = Failure::of(to_the_end(self.store.list_paginated(prefix, options)))? else {
            return Ok(Page { keys: Vec::new(), next: None });
        };
        let keys = page.result.objects.into_iter().map(|object| object.location.to_string()).collect();
        Ok(Page { keys, next: page.page_token })
    }

    /// Removes an object; fine if there is none.
    pub(crate) fn remove(&self, key: &Path) -> Result<(), Failure> {
        Failure::of(to_the_end(self.store.delete(key))).map(drop)
    }
}
