// A KMS key with rotation, a policy of its own and an alias.
//
// The account can always administer its key, or nobody could any more after a
// mistake in the policy. Who uses the key is said here, or else by the
// account's IAM policies.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/kms"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// purpose is what a key can do.
type purpose struct {
	spec, usage string
	actions     []string
}

var (
	purposes = map[string]purpose{
		"encrypt": {"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT",
			[]string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}},
		"sign": {"ECC_NIST_P256", "SIGN_VERIFY",
			[]string{"kms:DescribeKey", "kms:GetPublicKey", "kms:Sign", "kms:Verify"}},
		"mac": {"HMAC_256", "GENERATE_VERIFY_MAC",
			[]string{"kms:DescribeKey", "kms:GenerateMac", "kms:VerifyMac"}},
	}
	// administration lets nobody use the key, nor grant its use.
	administration = []string{
		"kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:Describe*", "kms:Disable*", "kms:Enable*", "kms:Get*",
		"kms:List*", "kms:Put*", "kms:ReplicateKey", "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion",
		"kms:TagResource", "kms:UntagResource", "kms:Update*",
	}
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name        = config.Text("name", "the alias, without `alias/`", config.DefaultName(), component.DNSLabel)
		use         = config.OneOf("purpose", "what the key is for", "encrypt", "sign", "mac")
		users       = config.List("users", "who may use the key; without any, IAM policies say so", formats.Principal)
		services    = config.List("services", "services that may use the key for this account, such as `logs.eu-west-1.amazonaws.com`", formats.Service)
		rotation    = config.Int("rotationDays", "how often the key's material is renewed, if it encrypts", 365, 90, 2560)
		deletion    = config.Int("deletionDays", "how long a removal can be undone", 30, 7, 30)
		multiRegion = config.Bool("multiRegion", "let the key be replicated to other regions", false)
		labels      = config.Labels()
	)
	if use != "encrypt" && len(services) > 0 {
		config.Reject("services", "take keys that encrypt, not one with the purpose %s", use)
	}
	if err := config.Err(); err != nil {
		return err
	}

	key, err := kms.NewKey(ctx, name, &kms.KeyArgs{
		Description:           pulumi.String(name),
		CustomerMasterKeySpec: pulumi.String(purposes[use].spec),
		KeyUsage:              pulumi.String(purposes[use].usage),
		MultiRegion:           pulumi.Bool(multiRegion),
		EnableKeyRotation:     pulumi.Bool(use == "encrypt"),
		RotationPeriodInDays:  rotationPeriod(use, rotation),
		DeletionWindowInDays:  pulumi.Int(deletion),
		Tags:                  labels.Map(),
	})
	if err != nil {
		return err
	}
	if _, err := kms.NewKeyPolicy(ctx, name, &kms.KeyPolicyArgs{
		KeyId:  key.ID(),
		Policy: iampolicy.Document(statements(key, use, users, services)...),
	}); err != nil {
		return err
	}
	alias, err := kms.NewAlias(ctx, name, &kms.AliasArgs{
		Name:        pulumi.String("alias/" + name),
		TargetKeyId: key.KeyId,
	})
	if err != nil {
		return err
	}

	ctx.Export("keyId", key.KeyId)
	ctx.Export("arn", key.Arn)
	ctx.Export("alias", alias.Name)
	return nil
}

// rotationPeriod is unset for keys that KMS cannot rotate.
func rotationPeriod(use string, days int) pulumi.IntPtrInput {
	if use != "encrypt" {
		return nil
	}
	return pulumi.Int(days)
}

func statements(key *kms.Key, use string, users, services []string) []iampolicy.Statement {
	account, root := iampolicy.Account(key.Arn)
	allow := func(sid string, principal iampolicy.Map, condition iampolicy.Map, actions ...string) iampolicy.Statement {
		return iampolicy.Statement{
			Sid: sid, Effect: "Allow", Principal: principal, Action: actions, Resource: "*", Condition: condition,
		}
	}
	// Where the account may do everything, its IAM policies can let others.
	own := []string{"kms:*"}
	if len(users) > 0 {
		own = administration
	}
	all := []iampolicy.Statement{allow("Account", iampolicy.Map{"AWS": root}, nil, own...)}
	if len(users) > 0 {
		all = append(all, allow("Use", iampolicy.Map{"AWS": users}, nil, purposes[use].actions...))
	}
	// EBS, RDS and others go on using the key when whoever started them is gone.
	if len(users) > 0 && use == "encrypt" {
		all = append(all, allow("UseThroughServices", iampolicy.Map{"AWS": users},
			iampolicy.Map{"Bool": iampolicy.Map{"kms:GrantIsForAWSResource": "true"}}, "kms:CreateGrant"))
	}
	for _, service := range services {
		condition := iampolicy.Map{"StringEquals": iampolicy.Map{"aws:SourceAccount": account}}
		// CloudWatch Logs says whom it calls for in the encryption context only.
		if strings.HasPrefix(service, "logs.") {
			condition = iampolicy.Map{"ArnLike": iampolicy.Map{
				"kms:EncryptionContext:aws:logs:arn": pulumi.Sprintf("arn:*:logs:*:%s:*", account),
			}}
		}
		all = append(all, allow("", iampolicy.Map{"Service": service}, condition, purposes[use].actions...))
	}
	return all
}
