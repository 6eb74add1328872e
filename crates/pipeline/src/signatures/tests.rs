//! Small images in a layout, with what is said of them, and everything that somebody may change about that.

use camino::{Utf8Path, Utf8PathBuf};
use dsse::signing::Key;
use dsse::{BUNDLE_TYPE, STATEMENT_TYPE};
use engine::progress::{Kind, Progress};
use oci::image::Image;
use oci::layout::reader::Layout;
use oci::layout::writer::LayoutWriter;
use oci::referrer;
use oci_spec::image::{Descriptor, MediaType};
use serde_json::json;

use super::SIGNATURE;
use super::said;
use super::trust::Trust;
use crate::assemble::images;
use crate::assemble::sbom::ARTIFACT_TYPE;
use crate::fixtures::platform;
use crate::pack::sources::PackSources;
use crate::work::Work;

const NAME: &str = "latest-toy";

/// A folder with a layout, and two keys of which one is trusted.
struct Fixture {
    folder: Utf8PathBuf,
    layout: LayoutWriter,
    key: Key,
    other: Key,
    guard: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap().to_owned();
        let key = Key::generate();
        fs_err::write(folder.join("key.pub"), key.public_pem()).unwrap();
        Self {
            layout: LayoutWriter::create(&folder.join("oci")).unwrap(),
            key,
            other: Key::generate(),
            folder,
            guard,
        }
    }

    fn trust(&self) -> Trust {
        Trust::key(&self.folder.join("key.pub")).unwrap()
    }

    fn image(&mut self, name: &str) -> Descriptor {
        let content = MediaType::ImageLayer;
        let content = self.layout.bytes(content, name.as_bytes()).unwrap();
        let config = json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Labels": {"name": name}},
        });
        let parts = (vec![content], &std::collections::BTreeMap::new());
        images::add(&mut self.layout, name, &config, parts, &platform()).unwrap()
    }

    fn artifact(&mut self, image: &Descriptor, media_type: &str, content: &[u8]) -> Descriptor {
        let content = self.layout.bytes(media_type.into(), content).unwrap();
        let manifest = referrer::manifest(image, media_type, content.clone()).unwrap();
        self.layout.referrer(&manifest).unwrap();
        content
    }

    /// Signs `statement` with the trusted key, and puts that beside `image`.
    fn sign(&mut self, image: &Descriptor, statement: &[u8]) -> Descriptor {
        let bundle = self.key.bundle(statement);
        self.artifact(image, BUNDLE_TYPE, &bundle)
    }

    /// An image with a signature, and with a statement with and without one.
    fn signed(&mut self, name: &str) -> Descriptor {
        let image = self.image(name);
        self.sign(&image, &statement(&image, SIGNATURE));
        self.artifact(&image, STATEMENT_TYPE, &statement(&image, "urn:origin"));
        self.sign(&image, &statement(&image, "urn:origin"));
        image
    }

    /// The layout as it is now.
    fn finished(self) -> (Layout, Trust, Utf8PathBuf, tempfile::TempDir) {
        let trust = self.trust();
        self.layout.finish().unwrap();
        let folder = self.folder.join("oci");
        (Layout::open(&folder).unwrap(), trust, folder, self.guard)
    }

    /// Why an image that is changed by `change` is not taken.
    fn refused(change: impl FnOnce(&mut Self) -> Descriptor) -> String {
        let mut fixture = Self::new();
        let image = change(&mut fixture);
        let (layout, trust, _, _guard) = fixture.finished();
        let error = trust.check(&layout, NAME, &image).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let said = failure::text(&error);
        let digest = image.digest().to_string();
        assert!(said.contains(NAME) && said.contains(&digest), "{said}");
        said
    }
}

/// A statement of `image`.
fn statement(image: &Descriptor, predicate_type: &str) -> Vec<u8> {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "it", "digest": {"sha256": image.digest().digest()}}],
        "predicateType": predicate_type,
        "predicate": {"said": true},
    })
    .to_string()
    .into_bytes()
}

#[test]
fn an_image_is_taken_whose_signature_and_statements_fit() {
    let mut fixture = Fixture::new();
    let image = fixture.signed(NAME);
    // Others may sign it, too, and say what they like in forms of their own.
    let by_other = fixture.other.bundle(&statement(&image, SIGNATURE));
    fixture.artifact(&image, BUNDLE_TYPE, &by_other);
    fixture.artifact(&image, "application/toy", b"said");
    let (layout, trust, _, _guard) = fixture.finished();
    trust.check(&layout, NAME, &image).unwrap();
}

#[test]
fn an_image_is_refused_whose_signature_is_missing_or_does_not_fit() {
    let none = Fixture::refused(|it| it.image(NAME));
    assert!(none.contains("there is no signature of it"), "{none}");
    let of_statement = Fixture::refused(|it| {
        let image = it.image(NAME);
        it.sign(&image, &statement(&image, "urn:origin"));
        image
    });
    assert!(
        of_statement.contains("no signature of it"),
        "{of_statement}"
    );
    let other = Fixture::refused(|it| {
        let image = it.image(NAME);
        let bundle = it.other.bundle(&statement(&image, SIGNATURE));
        it.artifact(&image, BUNDLE_TYPE, &bundle);
        it.artifact(&image, BUNDLE_TYPE, b"{}");
        image
    });
    assert!(other.contains("made with another key"), "{other}");
    assert!(other.contains("it is no bundle"), "{other}");
}

#[test]
fn what_was_signed_of_another_image_is_refused() {
    let moved = Fixture::refused(|it| {
        let other = it.image("other");
        let image = it.signed(NAME);
        it.sign(&image, &statement(&other, "urn:report"));
        image
    });
    assert!(moved.contains("is of sha256:"), "{moved}");
    let signature = Fixture::refused(|it| {
        let other = it.image("other");
        let image = it.image(NAME);
        it.sign(&image, &statement(&other, SIGNATURE));
        image
    });
    assert!(signature.contains("is of sha256:"), "{signature}");
}

#[test]
fn a_statement_beside_a_signed_image_is_refused_unless_it_is_signed_byte_by_byte() {
    let unsigned = Fixture::refused(|it| {
        let image = it.signed(NAME);
        it.artifact(&image, STATEMENT_TYPE, &statement(&image, "urn:report"));
        image
    });
    assert!(unsigned.contains("(urn:report)"), "{unsigned}");
    let changed = Fixture::refused(|it| {
        let image = it.signed(NAME);
        let mut changed = statement(&image, "urn:origin");
        changed.push(b' ');
        it.artifact(&image, STATEMENT_TYPE, &changed);
        image
    });
    assert!(changed.contains("(urn:origin)"), "{changed}");
    let with_a_name = Fixture::refused(|it| {
        let image = it.signed(NAME);
        let content = statement(&image, "urn:report");
        let content = it.layout.bytes(STATEMENT_TYPE.into(), &content).unwrap();
        let manifest = referrer::manifest(&image, STATEMENT_TYPE, content).unwrap();
        it.layout.manifest("x", &manifest, None).unwrap();
        image
    });
    assert!(with_a_name.contains("(urn:report)"), "{with_a_name}");
}

#[test]
fn what_is_called_a_statement_has_the_form_of_one() {
    for (artifact_type, media_type) in [
        (STATEMENT_TYPE, STATEMENT_TYPE),
        (ARTIFACT_TYPE, "application/json"),
        ("application/toy", BUNDLE_TYPE),
    ] {
        let refused = Fixture::refused(|it| {
            let image = it.signed(NAME);
            let content = statement(&image, "urn:report");
            let content = it.layout.bytes(media_type.into(), &content).unwrap();
            let mut manifest = referrer::manifest(&image, artifact_type, content).unwrap();
            if media_type != "application/json" {
                let second = it.layout.bytes("application/toy".into(), b"{}").unwrap();
                let mut contents = manifest.layers().clone();
                contents.push(second);
                manifest.set_layers(contents);
            }
            it.layout.referrer(&manifest).unwrap();
            image
        });
        assert!(refused.contains("the form of one"), "{refused}");
    }
}

#[test]
fn a_document_of_what_is_in_an_image_is_signed_in_a_statement_around_it() {
    const DOCUMENT: &[u8] = b"{\"spdxVersion\": \"SPDX-2.3\"}\n";
    let unsigned = Fixture::refused(|it| {
        let image = it.signed(NAME);
        it.artifact(&image, ARTIFACT_TYPE, DOCUMENT);
        image
    });
    assert!(
        unsigned.contains("(https://spdx.dev/Document)"),
        "{unsigned}"
    );
    let no_document = Fixture::refused(|it| {
        let image = it.signed(NAME);
        it.artifact(&image, ARTIFACT_TYPE, b"{}, \"subject\": []");
        image
    });
    assert!(no_document.contains("what is in an image"), "{no_document}");

    let mut fixture = Fixture::new();
    let image = fixture.signed(NAME);
    fixture.artifact(&image, ARTIFACT_TYPE, DOCUMENT);
    let statement = said::around(&image, "it", DOCUMENT).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(json["predicate"]["spdxVersion"], "SPDX-2.3");
    assert!(
        statement
            .windows(DOCUMENT.len())
            .any(|part| part == DOCUMENT)
    );
    fixture.sign(&image, &statement);
    let (layout, trust, _, _guard) = fixture.finished();
    trust.check(&layout, NAME, &image).unwrap();
}

#[test]
fn one_flipped_bit_in_anything_is_refused_by_its_name() {
    let mut fixture = Fixture::new();
    let image = fixture.signed(NAME);
    let (layout, trust, folder, _guard) = fixture.finished();
    let blobs = folder.join("blobs/sha256");
    let mut refused = 0;
    for entry in fs_err::read_dir(blobs).unwrap() {
        let file = entry.unwrap().path();
        let content = fs_err::read(&file).unwrap();
        let mut flipped = content.clone();
        flipped[content.len() / 2] ^= 1;
        fs_err::write(&file, flipped).unwrap();
        let take = || {
            let (manifest, _) = Image::find(&layout, &image, &platform())?;
            trust.check(&layout, NAME, &manifest)?;
            Image::fetch(&layout, &manifest, &platform())
        };
        let digest = file.file_name().unwrap().to_str().unwrap();
        // The blob that stands for no config is looked at by nobody.
        match take() {
            Ok(_) => assert_eq!(content, referrer::EMPTY),
            Err(error) => {
                assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
                assert!(failure::text(&error).contains(digest), "{error:#}");
                refused += 1;
            }
        }
        fs_err::write(&file, content).unwrap();
    }
    // Manifest, config and layer; two bundles and a statement, each with its manifest.
    assert_eq!(refused, 3 + 6);
}

#[test]
fn a_signature_whose_own_bytes_were_changed_is_no_signature() {
    let refused = Fixture::refused(|it| {
        let image = it.image(NAME);
        let bundle = it.key.bundle(&statement(&image, SIGNATURE));
        let text = String::from_utf8(bundle).unwrap();
        // As signatures begin, and then another number.
        let changed = text.replacen("\"sig\":\"ME", "\"sig\":\"MF", 1);
        assert_ne!(changed, text);
        it.artifact(&image, BUNDLE_TYPE, changed.as_bytes());
        image
    });
    assert!(refused.contains("made with another key"), "{refused}");
}

#[test]
fn a_pack_without_a_signature_is_not_taken_where_one_is_demanded() {
    let mut fixture = Fixture::new();
    let pack = fixture.image(NAME);
    // It lies beside the pack, and is none.
    fixture.artifact(&pack, BUNDLE_TYPE, b"{}");
    let trust = fixture.trust();
    let work = Work::open_at(&fixture.folder.join("work")).unwrap();
    fixture.layout.finish().unwrap();
    let folder = fixture.folder.join("oci");
    let taken = Progress::default().step("packs", Kind::Local, |step| {
        let mut sources = PackSources::new(&work, false, step).trusting(Some(&trust));
        sources.each(folder.as_str(), |_, _| panic!("it is taken"))
    });
    let said = failure::text(&taken.unwrap_err());
    assert!(said.contains(pack.digest().as_ref()), "{said}");
    assert!(said.contains("signatures beside it do not fit"), "{said}");
}

#[test]
fn what_is_no_key_and_no_policy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let file = folder.join("trusted");
    for content in [
        "",
        "issuer = 'a'",
        "issuer = 'a'\nsubject = 'b'\nsubject_regexp = 'c'",
        "x = 1",
    ] {
        fs_err::write(&file, content).unwrap();
        for refused in [
            Trust::key(&file),
            Trust::identity(&file),
            Trust::key(&folder.join("none")),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Usage,
                "{content}: {error:#}"
            );
        }
    }
}
