//! What the place of a folder says: whether it can be a module, of which provider, and which component.

/// What the place of a module's folder says.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The provider.
    pub provider: String,
    /// Names joined by `/`, without a version at the end. Where there is none, the provider's name.
    pub component: String,
}

impl Place {
    /// That of a provider and the names of a component, from which a version at the end is taken off.
    pub fn new(provider: &str, component: &str) -> Self {
        // A component that is nothing but a version keeps it: it has no other name.
        let component = match component.rsplit_once('/') {
            Some((name, last)) if is_version(last) => name,
            _ if component.is_empty() => provider,
            _ => component,
        };
        Self {
            provider: provider.to_owned(),
            component: component.to_owned(),
        }
    }
}

/// The place of a folder, given relative to the source, by `apis/**/provider/<provider>/**/iac/pulumi`; none if no
/// module can be there.
pub fn usual(folder: &str) -> Option<Place> {
    let segments: Vec<&str> = folder.split('/').collect();
    let ["apis", middle @ .., "iac", "pulumi"] = segments.as_slice() else {
        return None;
    };
    // The first `provider` decides, so that a component may have that name as well.
    let at = middle.iter().position(|segment| *segment == "provider")?;
    let (provider, component) = middle[at + 1..].split_first()?;
    Some(Place::new(provider, &component.join("/")))
}

/// `v1`, `v1alpha1`, `v2beta3`: the versions of a Kubernetes-style API.
fn is_version(segment: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    segment.strip_prefix('v').is_some_and(|rest| {
        let stage = rest.split_once("alpha").or_else(|| rest.split_once("beta"));
        stage.map_or_else(
            || number(rest),
            |(major, minor)| number(major) && number(minor),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(folder: &str) -> Option<(String, String)> {
        let place = usual(folder)?;
        Some((place.provider, place.component))
    }

    #[test]
    fn names_come_from_the_place() {
        for (folder, provider, component) in [
            ("apis/provider/aws/lambda/v1/iac/pulumi", "aws", "lambda"),
            (
                "apis/org/project/provider/gcp/gke/cluster/v1alpha1/iac/pulumi",
                "gcp",
                "gke/cluster",
            ),
            ("apis/provider/some-cloud/x/iac/pulumi", "some-cloud", "x"),
            ("apis/provider/aws/v1/lambda/iac/pulumi", "aws", "v1/lambda"),
            ("apis/provider/aws/v2beta1/iac/pulumi", "aws", "v2beta1"),
            ("apis/provider/aws/iac/pulumi", "aws", "aws"),
            (
                "apis/provider/provider/provider/iac/pulumi",
                "provider",
                "provider",
            ),
            (
                "apis/provider/aws/iac/pulumi/iac/pulumi",
                "aws",
                "iac/pulumi",
            ),
        ] {
            assert_eq!(
                named(folder),
                Some((provider.into(), component.into())),
                "{folder}"
            );
        }
    }

    #[test]
    fn other_places_are_none() {
        for folder in [
            "",
            "apis",
            "apis/provider/iac/pulumi",
            "apis/iac/pulumi",
            "apis/aws/lambda/iac/pulumi",
            "x/apis/provider/aws/lambda/iac/pulumi",
            "provider/aws/lambda/iac/pulumi",
            "apis/provider/aws/lambda/iac",
            "apis/provider/aws/lambda/iac/pulumi/module",
            "apis/provider/aws/lambda/iac/tofu",
            "API/provider/aws/lambda/iac/pulumi",
        ] {
            assert_eq!(named(folder), None, "{folder}");
        }
    }

    #[test]
    fn versions_are_told_from_names() {
        for version in ["v1", "v12", "v1alpha1", "v2beta10"] {
            assert!(is_version(version), "{version}");
        }
        for name in [
            "v", "1", "vpc", "v1x", "v1alpha", "valpha1", "v1rc1", "V1", "",
        ] {
            assert!(!is_version(name), "{name}");
        }
    }
}
