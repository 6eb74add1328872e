// Package azure is what the programs for Azure share: the forms of their
// settings, and the resource group that each of them has to itself.
package azure

import (
	"regexp"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/resources/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

var (
	Location = component.NewFormat(`[a-z0-9]+`, "a location such as westeurope")
	// ShortName is for what Azure names with at most 24 characters: Pulumi
	// appends 8 to make it unique.
	ShortName = component.NewFormat(`[a-z][a-z0-9]{0,15}`,
		"1 to 16 lowercase letters and digits, starting with a letter, as a random suffix follows")
	GUID = component.NewFormat(guid, "a GUID, 32 hexadecimal digits in five groups")
)

const guid = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`

// DefaultShortName shortens the stack's name without fear of a collision: the
// provider adds the random suffix.
func DefaultShortName(config *component.Config) string {
	name := strings.ReplaceAll(config.DefaultName(), "-", "")
	return name[:min(len(name), 16)]
}

// ID is the form of a resource's ID, whose case does not matter to Azure. The
// type is its provider and kind, such as
// Microsoft.Network/virtualNetworks/subnets.
func ID(resourceType string) component.Format {
	provider, kinds, _ := strings.Cut(resourceType, "/")
	pattern := `(?i:/subscriptions/` + guid + `/resourceGroups/[^/]+/providers/` + regexp.QuoteMeta(provider)
	words := "a resource ID, /subscriptions/…/providers/" + provider
	for _, kind := range strings.Split(kinds, "/") {
		pattern += "/" + kind + "/[^/]+"
		words += "/" + kind + "/…"
	}
	return component.NewFormat(pattern+")", words)
}

// NewResourceGroup is what a program puts all its resources into, and what
// deletes them with it.
func NewResourceGroup(ctx *pulumi.Context, name, location string, labels component.Labels) (*resources.ResourceGroup, error) {
	return resources.NewResourceGroup(ctx, name, &resources.ResourceGroupArgs{
		Location: pulumi.String(location),
		Tags:     labels.Map(),
	})
}

// PublicNetworkAccess is shut unless networks are named: without any, a
// resource is for private endpoints only.
func PublicNetworkAccess(networks []string) pulumi.String {
	if len(networks) == 0 {
		return "Disabled"
	}
	return "Enabled"
}
