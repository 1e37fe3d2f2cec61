//! The programs that carry container images carry models.

use std::path::Path;
use std::process::Command;

use mlops_registry::ObjectStoreRegistry;
use mlops_registry::transfer::{self, Import};

use crate::common::servers::{OciServer, program};
use crate::package::{assert_arrived, sender};

fn skopeo(skopeo: &Path, arguments: &[&str]) -> String {
    let output = Command::new(skopeo).arg("--insecure-policy").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn through_a_registry_of_containers_and_back() {
    let (Some(server), Some(program)) = (OciServer::shared(), program("skopeo")) else { return };
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ids = std::slice::from_ref(&version.id);
    let exported = transfer::export_layout(&from, ids, path("models")).await.unwrap();
    let (layout, remote) = (
        format!("oci:{}:fraud:1.0.0", path("models")),
        format!("docker://{}/models/fraud:1.0.0", server.host()),
    );
    skopeo(&program, &["copy", "--dest-tls-verify=false", &layout, &remote]);
    let inspected = skopeo(&program, &["inspect", "--raw", "--tls-verify=false", &remote]);
    assert_eq!(mlops_core::Digest::of(inspected.as_bytes()), exported[0].manifest, "not a byte is changed");

    let back = format!("oci:{}:champion", path("back"));
    skopeo(&program, &["copy", "--src-tls-verify=false", &remote, &back]);
    let to = ObjectStoreRegistry::in_memory();
    let import = Import::new().with_reference("champion").by("alice");
    transfer::import_layout(&to, path("back"), &import).await.unwrap();
    assert_arrived(&version, &from, &to).await;

    // As a file that skopeo has written.
    let archive = format!("oci-archive:{}:fraud:1.0.0", path("back.tar"));
    skopeo(&program, &["copy", "--src-tls-verify=false", &remote, &archive]);
    let to = ObjectStoreRegistry::in_memory();
    transfer::import_file(&to, path("back.tar"), &Import::new().by("alice")).await.unwrap();
    assert_arrived(&version, &from, &to).await;
}

#[tokio::test]
async fn a_file_is_an_archive_that_skopeo_reads() {
    let (Some(server), Some(program)) = (OciServer::shared(), program("skopeo")) else { return };
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fraud.tar");
    let exported = transfer::export_file(&from, std::slice::from_ref(&version.id), &file).await.unwrap();
    let archive = format!("oci-archive:{}:fraud:1.0.0", file.display());
    let manifest = skopeo(&program, &["inspect", "--raw", &archive]);
    assert_eq!(mlops_core::Digest::of(manifest.as_bytes()), exported[0].manifest);
    let remote = format!("docker://{}/files/fraud:1.0.0", server.host());
    skopeo(&program, &["copy", "--dest-tls-verify=false", &archive, &remote]);
    let inspected = skopeo(&program, &["inspect", "--raw", "--tls-verify=false", &remote]);
    assert_eq!(inspected, manifest);
}

#[tokio::test]
async fn archives_of_other_programs_are_read() {
    let Some(program) = program("tar") else { return };
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    transfer::export_layout(&from, std::slice::from_ref(&version.id), &layout).await.unwrap();
    for format in ["gnu", "ustar", "posix", "v7"] {
        let file = folder.path().join(format!("{format}.tar"));
        let packed = Command::new(&program)
            .arg(format!("--format={format}"))
            .arg("-C")
            .arg(&layout)
            .arg("-cf")
            .arg(&file)
            .arg(".")
            .status()
            .unwrap();
        assert!(packed.success());
        let to = ObjectStoreRegistry::in_memory();
        transfer::import_file(&to, &file, &Import::new().by("alice")).await.unwrap();
        assert_arrived(&version, &from, &to).await;
    }
}
