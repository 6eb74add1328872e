// A storage account without keys and public access, with its containers.
//
// Everyone signs in with Entra ID: account keys, which open everything and
// never expire, are switched off.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/storage/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	// A random suffix of 8 characters brings accountName to Azure's limit of 24.
	accountName = component.NewFormat(`[a-z0-9]{1,16}`, "1 to 16 lowercase letters and digits, as a random suffix follows")
	container   = component.NewFormat(`[a-z0-9](-?[a-z0-9]){2,62}`, "3 to 63 lowercase letters, digits and single hyphens")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name       = config.Text("name", "start of the account's name; a random suffix follows, as account names are shared by all customers", azure.DefaultShortName(config), accountName)
		where      = config.Text("location", "region", "westeurope", azure.Location)
		sku        = config.OneOf("sku", "replication", "Standard_ZRS", "Standard_LRS", "Standard_GRS", "Standard_GZRS", "Premium_LRS")
		containers = config.List("containers", "blob containers to create", container)
		networks   = config.CIDRs("networks", "networks that may reach it; without any, private endpoints alone")
		undo       = config.Int("softDeleteDays", "how long a removal can be undone", 14, 1, 365)
		labels     = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	group, err := azure.NewResourceGroup(ctx, name, where, labels)
	if err != nil {
		return err
	}
	account, err := storage.NewStorageAccount(ctx, name, &storage.StorageAccountArgs{
		ResourceGroupName:            group.Name,
		Location:                     group.Location,
		Kind:                         pulumi.String(storage.KindStorageV2),
		Sku:                          storage.SkuArgs{Name: pulumi.String(sku)},
		AllowBlobPublicAccess:        pulumi.Bool(false),
		AllowCrossTenantReplication:  pulumi.Bool(false),
		AllowSharedKeyAccess:         pulumi.Bool(false),
		DefaultToOAuthAuthentication: pulumi.Bool(true),
		EnableHttpsTrafficOnly:       pulumi.Bool(true),
		IsLocalUserEnabled:           pulumi.Bool(false),
		MinimumTlsVersion:            pulumi.String(storage.MinimumTlsVersion_TLS1_2),
		PublicNetworkAccess:          azure.PublicNetworkAccess(networks),
		NetworkRuleSet:               allowOnly(networks),
		Encryption: storage.EncryptionArgs{
			KeySource:                       pulumi.String(storage.KeySource_Microsoft_Storage),
			RequireInfrastructureEncryption: pulumi.Bool(true),
		},
		Tags: labels.Map(),
	})
	if err != nil {
		return err
	}
	retention := storage.DeleteRetentionPolicyArgs{Enabled: pulumi.Bool(true), Days: pulumi.Int(undo)}
	if _, err := storage.NewBlobServiceProperties(ctx, name, &storage.BlobServicePropertiesArgs{
		ResourceGroupName:              group.Name,
		AccountName:                    account.Name,
		BlobServicesName:               pulumi.String("default"),
		IsVersioningEnabled:            pulumi.Bool(true),
		DeleteRetentionPolicy:          retention,
		ContainerDeleteRetentionPolicy: retention,
	}); err != nil {
		return err
	}
	for _, container := range containers {
		if _, err := storage.NewBlobContainer(ctx, container, &storage.BlobContainerArgs{
			ResourceGroupName: group.Name,
			AccountName:       account.Name,
			ContainerName:     pulumi.String(container),
			PublicAccess:      storage.PublicAccessNone,
		}); err != nil {
			return err
		}
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("account", account.Name)
	ctx.Export("blobEndpoint", account.PrimaryEndpoints.Blob())
	return nil
}

func allowOnly(networks []string) storage.NetworkRuleSetArgs {
	rules := storage.IPRuleArray{}
	for _, network := range networks {
		rules = append(rules, storage.IPRuleArgs{
			Action: storage.ActionAllow,
			// Azure takes a single address only without its prefix length.
			IPAddressOrRange: pulumi.String(strings.TrimSuffix(network, "/32")),
		})
	}
	return storage.NetworkRuleSetArgs{
		DefaultAction: storage.DefaultActionDeny,
		Bypass:        pulumi.String(storage.BypassAzureServices),
		IpRules:       rules,
	}
}
