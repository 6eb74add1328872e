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
	Zone   = component.NewFormat(`[a-z]+-[a-z]+[0-9]+-[a-z]`, "a zone such as europe-west1-b")

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

	Variable = component.NewFormat(`(?s)[A-Za-z_]\w*=.*`, "a name and a value such as COLOUR=red")
	// SecretVariable demands a version: a new one is seen only by instances
	// that start later.
	SecretVariable = component.NewFormat(`[A-Za-z_]\w*=[\w-]+:[0-9]+`, "a name, a secret and its version such as PASSWORD=database-password:3")
)

// InRegion tells whether a subnetwork is one of the region.
func InRegion(subnetwork, region string) bool {
	return strings.Contains(subnetwork, "/regions/"+region+"/")
}
