// Package formats is what the settings that several of GCP's programs share
// must look like.
package formats

import (
	"strings"

	"example.com/iac-catalog/pkg/component"
)

var (
	// ID is the form of the IDs of projects and service accounts, and thus of
	// the names of what has a service account of the same name.
	ID     = component.NewFormat(`[a-z][a-z0-9-]{4,28}[a-z0-9]`, "6 to 30 lowercase letters, digits and hyphens, starting with a letter")
	Region = component.NewFormat(`[a-z]+-[a-z]+[0-9]+`, "a region such as europe-west1")

	Network    = component.NewFormat(`projects/[^/]+/global/networks/[^/]+`, "a network such as projects/P/global/networks/N")
	Subnetwork = component.NewFormat(`projects/[^/]+/regions/[^/]+/subnetworks/[^/]+`, "a subnetwork such as projects/P/regions/R/subnetworks/S")
	Topic      = component.NewFormat(`projects/[^/]+/topics/[^/]+`, "a topic such as projects/P/topics/T")
	KMSKey     = component.NewFormat(`projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+`,
		"a KMS key such as projects/P/locations/L/keyRings/R/cryptoKeys/K")

	// Member excludes allUsers and allAuthenticatedUsers.
	Member = component.NewFormat(`(user|group|serviceAccount|domain):\S+`, "a member such as group:team@example.com")
	// Role excludes roles/owner, roles/editor and roles/viewer, whose names
	// have no dot: they hold for every service of a project.
	Role = component.NewFormat(`roles/\w+(\.\w+)+|(projects|organizations)/[^/]+/roles/[\w.]+`,
		"a role of one service such as roles/storage.objectViewer, or a custom one")
)

// OrUnset lets a setting of the format be left out.
func OrUnset(format component.Format) component.Format {
	return component.NewFormat(`|`+format.Pattern.String(), format.Words)
}

// InRegion tells whether a subnetwork is one of the region.
func InRegion(subnetwork, region string) bool {
	return strings.Contains(subnetwork, "/regions/"+region+"/")
}
