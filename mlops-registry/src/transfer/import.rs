//! Layouts into versions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mlops_core::{
    Artifact, Digest, Error, Lineage, ModelId, ModelName, ModelVersion, NewReport, Result, Signature,
};
use semver::Version;

use super::archive;
use super::document::VersionDocument;
use super::layout::Layout;
use super::oci::{CONTENT_TYPE, Config, Descriptor, MANIFEST, Manifest, Packing, VERSION_DOCUMENT};
use super::parcel::Parcel;
use super::place::Place;
use crate::limits;
use crate::state::there_are;

/// What is imported, and by whom.
///
/// ```
/// use mlops_registry::transfer::Import;
///
/// let import = Import::new().with_reference("fraud:1.0.0").by("alice");
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Import {
    /// Only what the layout names so; `None` for every model in it.
    pub reference: Option<String>,
    /// What a model takes and gives that comes without this library's own document.
    pub signature: Option<Signature>,
    /// What such a model is registered as; `None` for what its configuration says.
    pub id: Option<ModelId>,
    /// Who imports: who registers what comes without this library's own document, and who says what others
    /// have reported.
    pub actor: String,
}

impl Import {
    /// Every model in a layout that this library has written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what the layout names so.
    #[must_use]
    pub fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Says what a model takes and gives that another program has packed.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Says as what a model is registered that another program has packed.
    #[must_use]
    pub fn with_id(mut self, id: ModelId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says who imports.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

/// The versions in a layout, every byte of them proven. Blocks.
pub(crate) fn parcels(layout: &Layout, import: &Import) -> Result<Vec<Parcel>> {
    let index = layout.index()?;
    let names = || index.manifests.iter().filter_map(Descriptor::reference).collect::<Vec<_>>();
    let reader = Reader { layout, import, proven: RefCell::default() };
    let (mut parcels, mut seen, mut ids) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for descriptor in &index.manifests {
        let named = import.reference.as_deref();
        if (named.is_some() && named != descriptor.reference())
            || descriptor.media_type != MANIFEST
            || !seen.insert(descriptor.artifact()?.digest)
        {
            continue;
        }
        let manifest: Manifest = layout.document("manifest", descriptor)?;
        if !manifest.is_model() {
            continue;
        }
        let parcel = reader.parcel(&manifest)?;
        if !ids.insert(parcel.id.clone()) {
            return Err(Error::conflict(format!(
                "{} has {} twice, with different content; say which by its reference: {}",
                layout.what(),
                parcel.id,
                there_are(names().into_iter())
            )));
        }
        parcels.push(parcel);
    }
    if parcels.is_empty() {
        let named = import.reference.as_ref().map(|name| format!(" named `{name}`")).unwrap_or_default();
        let known = there_are(names().into_iter());
        return Err(Error::not_found(format!("{} has no ModelPack model{named}; {known}", layout.what())));
    }
    Ok(parcels)
}

struct Reader<'a> {
    layout: &'a Layout,
    import: &'a Import,
    /// Versions share artifacts.
    proven: RefCell<BTreeSet<(Digest, u64)>>,
}

impl Reader<'_> {
    fn parcel(&self, manifest: &Manifest) -> Result<Parcel> {
        let own = |layer: &&Descriptor| {
            layer.annotations.get(CONTENT_TYPE).is_some_and(|content| content == VERSION_DOCUMENT)
        };
        let parcel = match manifest.layers.iter().find(own) {
            Some(document) => self.own(manifest, document)?,
            None => self.foreign(manifest)?,
        };
        limits::check_new(&parcel.new)?;
        for report in &parcel.reports {
            let mut new =
                NewReport::evaluation(parcel.id.clone(), &report.name).with_summary(&report.summary);
            new.metrics = report.metrics.clone();
            limits::check_report(&new)?;
        }
        Ok(parcel)
    }

    /// A version with its document.
    fn own(&self, manifest: &Manifest, document: &Descriptor) -> Result<Parcel> {
        let what = "the version document";
        let bytes = self.layout.document_bytes(what, document)?;
        let version = VersionDocument::decode(&self.layout.named(what), &bytes)?;
        let key = |artifact: Artifact| (artifact.digest, artifact.size);
        let layers = manifest.layers.iter().map(|layer| layer.artifact().map(key));
        let layers = layers.collect::<Result<BTreeSet<_>>>()?;
        Parcel::new(&version, |name, artifact| {
            let what = self.layout.named(&format!("the artifact `{name}` of {}", version.id));
            // A registry carries what the manifest names, and nothing else.
            if !layers.contains(&key(artifact)) {
                return Err(Error::integrity(format!("{what} is no layer of the manifest")));
            }
            Ok(self.proven_blob(artifact, &what)?.content(artifact, what))
        })
    }

    /// What another program has packed: as much of it as a version can hold.
    fn foreign(&self, manifest: &Manifest) -> Result<Parcel> {
        let config: Config = self.layout.document("configuration", &manifest.config)?;
        let said = config.descriptor;
        let id = match &self.import.id {
            Some(id) => id.clone(),
            None => self.id(said.name.as_deref(), said.version.as_deref())?,
        };
        let signature = self.import.signature.clone().ok_or_else(|| {
            Error::invalid_input(format!(
                "{} was packed by another program, which does not say what {id} takes and gives; say it by \
                 `Import::with_signature`",
                self.layout.what()
            ))
        })?;
        let mut files = BTreeMap::new();
        for layer in &manifest.layers {
            for (path, artifact, place) in self.files(layer)? {
                let what = self.layout.named(&format!("the file `{}`", path.escape_debug()));
                let name = artifact_name(&path);
                limits::check_artifact_name(&name).map_err(|cause| {
                    Error::invalid_input(format!("{what} cannot be an artifact")).with_source(cause)
                })?;
                let content = place.content(artifact, what);
                if files.insert(name.clone(), (artifact, content)).is_some() {
                    return Err(Error::conflict(format!(
                        "{} has two files that would be the artifact `{name}`",
                        self.layout.what()
                    )));
                }
            }
        }
        let mut lineage = Lineage::default();
        lineage.code = said.revision;
        let version = ModelVersion {
            id,
            signature,
            artifacts: files.iter().map(|(name, (artifact, _))| (name.clone(), *artifact)).collect(),
            metrics: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            description: said.description.unwrap_or_default(),
            lineage,
            registered_at: Timestamp::UNIX_EPOCH,
            registered_by: self.import.actor.clone(),
            aliases: BTreeSet::new(),
            reports: Vec::new(),
            approvals: Vec::new(),
            deprecated: None,
        };
        Parcel::new(&version, |name, _| {
            let content = files.get(name).map(|(_, content)| content.clone());
            content.ok_or_else(|| Error::internal("an artifact without content"))
        })
    }

    fn id(&self, name: Option<&str>, version: Option<&str>) -> Result<ModelId> {
        let parse = || {
            let name = ModelName::new(name.ok_or("it names no model")?).map_err(|cause| cause.to_string())?;
            let version = version.ok_or("it says no version")?;
            let shown: String = version.chars().take(80).collect();
            let version =
                version.parse::<Version>().map_err(|cause| format!("{shown:?} is no version: {cause}"))?;
            Ok::<_, String>(ModelId::new(name, version))
        };
        parse().map_err(|why| {
            Error::invalid_input(format!(
                "the configuration of the model in {} does not fit a registry ({why}); say as what it is \
                 registered by `Import::with_id`",
                self.layout.what()
            ))
        })
    }

    /// The files of a layer, with their paths; none for layers of other things than models.
    fn files(&self, layer: &Descriptor) -> Result<Vec<(String, Artifact, Place)>> {
        let what = self.layout.named(&format!("the layer {}", layer.artifact()?.digest));
        let path = || {
            let path = layer.path().map(ToOwned::to_owned);
            path.ok_or_else(|| Error::invalid_input(format!("{what} does not say the path of its file")))
        };
        match layer.packing() {
            None => Ok(Vec::new()),
            Some(Packing::Raw) => {
                let artifact = layer.artifact()?;
                Ok(vec![(path()?, artifact, self.proven_blob(artifact, &what)?)])
            }
            Some(Packing::Tar) => {
                let archive = self.proven_blob(layer.artifact()?, &what)?;
                let files = archive::files(&archive, &what)?.into_iter();
                files.map(|(path, place)| Ok((path, place.describe()?, place))).collect()
            }
            Some(Packing::Compressed) => Err(Error::unsupported(format!(
                "{what}, `{}`, is compressed; pack the model in layers that are not, as ModelPack recommends",
                layer.media_type.chars().take(80).collect::<String>().escape_debug()
            ))),
        }
    }

    /// A blob whose bytes are the right ones.
    fn proven_blob(&self, artifact: Artifact, what: &str) -> Result<Place> {
        let place = self.layout.blob(artifact)?;
        if self.proven.borrow_mut().insert((artifact.digest, artifact.size)) {
            let actual = place.describe()?.digest;
            if actual != artifact.digest {
                return Err(Error::integrity(format!(
                    "{what} should have digest {}, but its {} bytes have {actual}",
                    artifact.digest, artifact.size
                )));
            }
        }
        Ok(place)
    }
}

/// Paths as names of artifacts: `text_encoder/model.safetensors` becomes `text_encoder_model.safetensors`.
fn artifact_name(path: &str) -> String {
    let path = path.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    path.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
