//! Into layouts, and back.

use std::fs;

use mlops_core::{Digest, ModelId, Registry};
use mlops_registry::transfer::{self, Import};
use mlops_registry::{ObjectStoreRegistry, model_card};
use serde_json::json;

use crate::common::{name, new, v};
use crate::package::{Files, assert_arrived, blob_name, resolve, sender, version_layer};

fn alice() -> Import {
    Import::new().by("alice")
}

#[tokio::test]
async fn what_goes_into_a_folder_comes_out_of_it() {
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("models");
    let exported = transfer::export_layout(&from, std::slice::from_ref(&version.id), &layout).await.unwrap();
    assert_eq!(exported[0].reference, "fraud:1.0.0");
    let to = ObjectStoreRegistry::in_memory();
    let arrivals = transfer::import_layout(&to, &layout, &alice()).await.unwrap();
    assert!(arrivals.len() == 1 && !arrivals[0].was_there);
    assert_arrived(&version, &from, &to).await;
    assert!(transfer::import_layout(&to, &layout, &alice()).await.unwrap()[0].was_there);
}

#[tokio::test]
async fn what_goes_into_a_file_comes_out_of_it() {
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, ids) = (folder.path().join("fraud.tar"), std::slice::from_ref(&version.id));
    let exported = transfer::export_file(&from, ids, &file).await.unwrap();
    let to = ObjectStoreRegistry::local(folder.path().join("registry")).await.unwrap();
    transfer::import_file(&to, &file, &alice()).await.unwrap();
    assert_arrived(&version, &from, &to).await;

    // The same version gives the same bytes, in a file and in a folder.
    let (again, layout) = (folder.path().join("again.tar"), folder.path().join("layout"));
    assert_eq!(transfer::export_file(&from, ids, &again).await.unwrap(), exported);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());
    assert_eq!(transfer::export_layout(&from, ids, &layout).await.unwrap(), exported);
    for (name, bytes) in Files::unpacked(&file).0 {
        assert_eq!(fs::read(layout.join(&name)).unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn a_layout_is_as_the_specifications_want_it() {
    let (from, version) = sender().await;
    let mut files = Files::exported(&from, std::slice::from_ref(&version.id)).await;
    assert_eq!(files.json("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
    for (name, bytes) in &files.0 {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(Digest::of(bytes).hex(), hex);
        }
    }
    let index = files.json("index.json");
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let entry = &index["manifests"][0];
    assert_eq!(entry["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(entry["artifactType"], "application/vnd.cncf.model.manifest.v1+json");
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "fraud:1.0.0");

    let mut manifest = files.manifest();
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], entry["mediaType"]);
    assert_eq!(manifest["artifactType"], entry["artifactType"]);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.cncf.model.config.v1+json");
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().clone();
    let told: Vec<_> = layers
        .iter()
        .map(|layer| {
            let path = layer["annotations"]["org.cncf.model.filepath"].as_str().unwrap();
            assert_eq!(layer["annotations"]["org.opencontainers.image.title"], path);
            let kind =
                layer["mediaType"].as_str().unwrap().strip_prefix("application/vnd.cncf.model.").unwrap();
            (path, kind)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("README.md", "doc.v1.raw"),
            ("empty", "weight.v1.raw"),
            ("model.onnx", "weight.v1.raw"),
            ("same.onnx", "weight.v1.raw"),
            ("tokenizer.json", "weight.config.v1.raw"),
            ("mlops/README.md", "doc.v1.raw"),
            ("mlops/version.json", "doc.v1.raw"),
        ]
    );
    for (layer, artifact) in layers.iter().zip(version.artifacts.values()) {
        assert_eq!(layer["digest"], artifact.digest.to_string(), "an artifact is its layer");
        assert_eq!(layer["size"], artifact.size);
    }
    assert_eq!(files.blob(&layers[5]), model_card(&version).as_bytes());
    let content_type = &version_layer(&mut manifest)["annotations"]["io.github.mlops-rs.content-type"];
    assert_eq!(content_type, "application/vnd.mlops.version.v1+json");

    let config = files.json(&blob_name(&manifest["config"]));
    let digests: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(
        config,
        json!({
            "descriptor": {
                "createdAt": version.registered_at.to_string(),
                "authors": ["ci"],
                "name": "fraud",
                "version": "1.0.0",
                "revision": "4f1c2e7",
                "description": version.description,
            },
            "config": { "format": "onnx" },
            "modelfs": { "type": "layers", "diffIds": digests },
        })
    );
}

#[tokio::test]
async fn several_versions_share_a_layout() {
    let (from, first) = sender().await;
    let second =
        from.register(new("fraud", "2.0.0").with_artifact("model.onnx", vec![7; 5000])).await.unwrap();
    let other = from.register(new("digits", "1.0.0-rc.1").with_artifact("weights", &b"d"[..])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (layout, file) = (folder.path().join("layout"), folder.path().join("all.tar"));
    let ids = [first.id.clone(), second.id.clone(), other.id.clone()];
    for id in &ids {
        transfer::export_layout(&from, std::slice::from_ref(id), &layout).await.unwrap();
    }
    // Again, changed in between: the name points to the new one.
    transfer::export_layout(&from, &ids[..1], &layout).await.unwrap();
    transfer::export_file(&from, &ids, &file).await.unwrap();

    for archive in [false, true] {
        let to = ObjectStoreRegistry::in_memory();
        let import = alice().with_reference("digits:1.0.0-rc.1");
        let one = match archive {
            false => transfer::import_layout(&to, &layout, &import).await.unwrap(),
            true => transfer::import_file(&to, &file, &import).await.unwrap(),
        };
        assert_eq!(one[0].version.id, other.id);
        assert_eq!(to.models().await.unwrap(), [name("digits")]);
        let all = match archive {
            false => transfer::import_layout(&to, &layout, &alice()).await.unwrap(),
            true => transfer::import_file(&to, &file, &alice()).await.unwrap(),
        };
        let mut arrived: Vec<_> = all.iter().map(|arrival| arrival.version.id.clone()).collect();
        arrived.sort_by_key(ToString::to_string);
        assert_eq!(arrived.len(), 3);
        assert_arrived(&first, &from, &to).await;
        assert_eq!(resolve(&to, &second.id).await.artifacts, second.artifacts);
    }
    let to = ObjectStoreRegistry::in_memory();
    let error = transfer::import_file(&to, &file, &alice().with_reference("cats:1.0.0")).await.unwrap_err();
    assert_eq!(error.label(), "not_found");
    assert!(error.to_string().contains("there are fraud:1.0.0, fraud:2.0.0, digits:1.0.0-rc.1"), "{error}");
}

#[tokio::test]
async fn what_others_have_put_into_a_layout_stays() {
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::default();
    files.set_json("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }));
    let config = files.add_blob("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": null }).to_string();
    let mut image = files.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    image["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let foreign = json!([image, { "mediaType": "application/x-unknown", "digest": "sha512:00", "size": 7 }]);
    files.set_json("index.json", &json!({ "schemaVersion": 2, "manifests": foreign }));
    files.write_to(folder.path());
    transfer::export_layout(&from, std::slice::from_ref(&version.id), folder.path()).await.unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap()[..2], foreign.as_array().unwrap()[..]);
    let to = ObjectStoreRegistry::in_memory();
    assert_eq!(transfer::import_layout(&to, folder.path(), &alice()).await.unwrap().len(), 1);
    assert_arrived(&version, &from, &to).await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    let (from, version) = sender().await;
    let ids = std::slice::from_ref(&version.id);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let error = transfer::export_layout(&from, ids, folder.path()).await.unwrap_err();
    assert_eq!(error.label(), "conflict", "{error}");
    let error = transfer::export_layout(&from, ids, folder.path().join("thesis.tex")).await.unwrap_err();
    assert_eq!(error.label(), "invalid_input", "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = transfer::export_file(&from, &[], folder.path().join("none.tar")).await.unwrap_err();
    assert_eq!(error.label(), "invalid_input", "{error}");
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file_and_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let from = ObjectStoreRegistry::local(folder.path().join("registry")).await.unwrap();
    let good = from.register(new("fraud", "1.0.0").with_artifact("weights", &b"good"[..])).await.unwrap().id;
    let bad =
        from.register(new("fraud", "2.0.0").with_artifact("weights", &b"the weights"[..])).await.unwrap().id;
    let hex = Digest::of(b"the weights").hex();
    let blob = folder.path().join(format!("registry/blobs/sha256/{}/{hex}", &hex[..2]));
    for harm in [Some(&b"the weightz"[..]), Some(b"short"), None] {
        match harm {
            Some(bytes) => fs::write(&blob, bytes).unwrap(),
            None => fs::remove_file(&blob).unwrap(),
        }
        let file = folder.path().join("out.tar");
        let error = transfer::export_file(&from, &[good.clone(), bad.clone()], &file).await.unwrap_err();
        assert_eq!(error.label(), "integrity", "{error}");
        let layout = folder.path().join("layout");
        let error = transfer::export_layout(&from, &[good.clone(), bad.clone()], &layout).await.unwrap_err();
        assert_eq!(error.label(), "integrity", "{error}");
        assert!(!layout.join("index.json").exists());
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["layout", "registry"]);
    }
    // What was written is good, and is not written again.
    transfer::export_layout(&from, std::slice::from_ref(&good), folder.path().join("layout")).await.unwrap();
    let unknown = ModelId::new(name("fraud"), v("3.0.0"));
    let error =
        transfer::export_file(&from, &[good, unknown], folder.path().join("x.tar")).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
}

#[tokio::test]
async fn a_harmed_blob_in_a_layout_is_healed_by_the_next_export() {
    let (from, version) = sender().await;
    let ids = std::slice::from_ref(&version.id);
    let folder = tempfile::tempdir().unwrap();
    transfer::export_layout(&from, ids, folder.path()).await.unwrap();
    let blob = folder.path().join(format!("blobs/sha256/{}", version.artifacts["model.onnx"].digest.hex()));
    for harm in [vec![8; 5000], vec![7; 4999]] {
        fs::write(&blob, harm).unwrap();
        let to = ObjectStoreRegistry::in_memory();
        let error = transfer::import_layout(&to, folder.path(), &alice()).await.unwrap_err();
        assert_eq!(error.label(), "integrity", "{error}");
        assert!(to.models().await.unwrap().is_empty());
        transfer::export_layout(&from, ids, folder.path()).await.unwrap();
        transfer::import_layout(&to, folder.path(), &alice()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_layout_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let to = ObjectStoreRegistry::in_memory();
    let error = transfer::import_layout(&to, folder.path(), &alice()).await.unwrap_err();
    assert!(error.to_string().contains("is no OCI image layout: there is no file oci-layout"), "{error}");
    let error = transfer::import_file(&to, folder.path().join("none.tar"), &alice()).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
    let error = transfer::import_file(&to, folder.path(), &alice()).await.unwrap_err();
    assert!(error.to_string().contains("is not a plain file"), "{error}");
}
