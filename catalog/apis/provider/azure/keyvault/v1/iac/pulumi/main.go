// A Key Vault without access policies, with keys that rotate.
//
// Access is by roles in Azure alone: an access policy could be written by
// whoever may manage the vault, who thus could read its secrets.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-azure-native-sdk/keyvault/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/resources/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var keyName = component.NewFormat(`[A-Za-z0-9-]{1,127}`, "1 to 127 letters, digits and hyphens")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "start of the vault's name; a random suffix follows, as vault names are shared by all customers", azure.DefaultShortName(config), azure.ShortName)
		where    = config.Text("location", "region", "westeurope", azure.Location)
		tenant   = config.Text("tenantId", "the Entra ID tenant whose people and programs may be let in", "", azure.GUID)
		networks = config.CIDRs("networks", "networks that may reach it; without any, private endpoints alone")
		keys     = config.List("keys", "RSA keys to create, for example to encrypt storage with", keyName)
		rotate   = config.Int("rotateDays", "after how long a key has a new version; the old one stays", 365, 28, 730)
		hsm      = config.Bool("hsm", "keep the keys in a hardware security module, which costs more", false)
		undo     = config.Int("softDeleteDays", "how long a removal can be undone; it cannot be changed later", 90, 7, 90)
		protect  = config.Bool("purgeProtection", "refuse to remove anything for good before these days are over", true)
		labels   = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	group, err := azure.NewResourceGroup(ctx, name, where, labels)
	if err != nil {
		return err
	}
	vault, err := keyvault.NewVault(ctx, name, &keyvault.VaultArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		Properties: keyvault.VaultPropertiesArgs{
			TenantId:                  pulumi.String(tenant),
			Sku:                       sku(hsm),
			EnableRbacAuthorization:   pulumi.Bool(true),
			EnableSoftDelete:          pulumi.Bool(true),
			SoftDeleteRetentionInDays: pulumi.Int(undo),
			EnablePurgeProtection:     purgeProtection(protect),
			PublicNetworkAccess:       azure.PublicNetworkAccess(networks),
			NetworkAcls:               allowOnly(networks),
		},
		Tags: labels.Map(),
	})
	if err != nil {
		return err
	}
	uris, err := addKeys(ctx, group, vault, keys, hsm, rotate)
	if err != nil {
		return err
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("vault", vault.Name)
	ctx.Export("uri", vault.Properties.VaultUri())
	ctx.Export("keys", uris)
	return nil
}

func sku(hsm bool) keyvault.SkuArgs {
	name := keyvault.SkuNameStandard
	if hsm {
		name = keyvault.SkuNamePremium
	}
	return keyvault.SkuArgs{Family: pulumi.String(keyvault.SkuFamilyA), Name: name}
}

// purgeProtection is true or unset, as Azure refuses false.
func purgeProtection(on bool) pulumi.BoolPtrInput {
	if !on {
		return nil
	}
	return pulumi.Bool(true)
}

func allowOnly(networks []string) keyvault.NetworkRuleSetArgs {
	rules := keyvault.IPRuleArray{}
	for _, network := range networks {
		rules = append(rules, keyvault.IPRuleArgs{Value: pulumi.String(network)})
	}
	return keyvault.NetworkRuleSetArgs{
		DefaultAction: pulumi.String(keyvault.NetworkRuleActionDeny),
		Bypass:        pulumi.String(keyvault.NetworkRuleBypassOptionsAzureServices),
		IpRules:       rules,
	}
}

// addKeys makes keys whose versions overlap: each expires a month after the
// next one came.
func addKeys(ctx *pulumi.Context, group *resources.ResourceGroup, vault *keyvault.Vault, names []string, hsm bool, rotateDays int) (pulumi.StringMap, error) {
	kind := keyvault.JsonWebKeyTypeRSA
	if hsm {
		kind = keyvault.JsonWebKeyType_RSA_HSM
	}
	uris := pulumi.StringMap{}
	for _, name := range names {
		key, err := keyvault.NewKey(ctx, name, &keyvault.KeyArgs{
			ResourceGroupName: group.Name,
			VaultName:         vault.Name,
			KeyName:           pulumi.String(name),
			Properties: keyvault.KeyPropertiesArgs{
				Kty:     pulumi.String(kind),
				KeySize: pulumi.Int(3072),
				RotationPolicy: keyvault.RotationPolicyArgs{
					Attributes: keyvault.KeyRotationPolicyAttributesArgs{ExpiryTime: days(rotateDays + 30)},
					LifetimeActions: keyvault.LifetimeActionArray{keyvault.LifetimeActionArgs{
						Action:  keyvault.ActionArgs{Type: keyvault.KeyRotationPolicyActionTypeRotate},
						Trigger: keyvault.TriggerArgs{TimeAfterCreate: days(rotateDays)},
					}},
				},
			},
		})
		if err != nil {
			return nil, err
		}
		uris[name] = key.KeyUri
	}
	return uris, nil
}

// days is a span of time in the form of ISO 8601.
func days(n int) pulumi.String {
	return pulumi.String(fmt.Sprintf("P%dD", n))
}
