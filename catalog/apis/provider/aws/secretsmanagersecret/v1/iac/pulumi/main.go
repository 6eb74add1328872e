// A secret of AWS Secrets Manager, for those who are named.
//
// Its value is none of Pulumi's business: it comes from a rotation function or
// from whoever sets it, and so reaches neither a state nor a pull request.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/lambda"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	secretName = component.NewFormat(`[a-z][a-z0-9_-]*(/[a-z0-9_-]+)*`, "lowercase letters, digits, hyphens and underscores, in parts split at /")
	// reader excludes accounts: whoever is denied for not being a reader is
	// compared by the own ARN, not by the account's.
	reader   = component.NewFormat(`arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+`, "the ARN of a role or user")
	region   = component.NewFormat(`[a-z]{2}(-[a-z]+)+-[0-9]`, "a region such as eu-west-1")
	function = component.NewFormat(`|arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+`, "the ARN of a Lambda function")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "the secret's name, such as `shop/database`", config.DefaultName(), secretName)
		readers  = config.List("readers", "who may read the value, and nobody else; without any, IAM policies say so", reader)
		key      = config.Text("kmsKey", "ARN of the KMS key to encrypt with", "", formats.KMSKey)
		replicas = config.List("replicaRegions", "regions that have a copy", region)
		rotator  = config.Text("rotationFunction", "ARN of the Lambda function that renews the value", "", function)
		rotation = config.Int("rotationDays", "how often the function renews the value", 30, 1, 1000)
		recovery = config.Int("recoveryDays", "how long a removal can be undone", 30, 7, 30)
		labels   = config.Labels()
	)
	if len(replicas) > 0 && key != "" && !strings.Contains(key, ":key/mrk-") {
		config.Reject("kmsKey", "must be a multi-Region key (mrk-…), as replicas are encrypted with it in their regions")
	}
	if err := config.Err(); err != nil {
		return err
	}

	secret, err := secretsmanager.NewSecret(ctx, name, &secretsmanager.SecretArgs{
		Name:                 pulumi.String(name),
		KmsKeyId:             component.Optional(key),
		Replicas:             copies(replicas, key),
		RecoveryWindowInDays: pulumi.Int(recovery),
		Tags:                 labels.Map(),
	})
	if err != nil {
		return err
	}
	if len(readers) > 0 {
		if err := restrict(ctx, name, secret, readers); err != nil {
			return err
		}
	}
	if rotator != "" {
		if err := rotate(ctx, name, secret, rotator, rotation); err != nil {
			return err
		}
	}

	ctx.Export("name", secret.Name)
	ctx.Export("arn", secret.Arn)
	return nil
}

// copies of the secret are encrypted with the key's replica in their region: a
// multi-Region key has the same ID in all of them.
func copies(regions []string, key string) secretsmanager.SecretReplicaArray {
	var copies secretsmanager.SecretReplicaArray
	for _, region := range regions {
		replica := secretsmanager.SecretReplicaArgs{Region: pulumi.String(region)}
		if key != "" {
			parts := strings.Split(key, ":")
			parts[3] = region
			replica.KmsKeyId = pulumi.String(strings.Join(parts, ":"))
		}
		copies = append(copies, replica)
	}
	return copies
}

// restrict lets the readers read, and denies it to all others, whatever their
// IAM policies say.
func restrict(ctx *pulumi.Context, name string, secret *secretsmanager.Secret, readers []string) error {
	_, err := secretsmanager.NewSecretPolicy(ctx, name, &secretsmanager.SecretPolicyArgs{
		SecretArn:         secret.Arn,
		BlockPublicPolicy: pulumi.Bool(true),
		Policy: iampolicy.Document(iampolicy.Statement{
			Sid:       "Readers",
			Effect:    "Allow",
			Principal: iampolicy.Map{"AWS": readers},
			Action:    []string{"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"},
			Resource:  "*",
		}, iampolicy.Statement{
			Sid:       "NobodyElse",
			Effect:    "Deny",
			Principal: "*",
			Action:    []string{"secretsmanager:GetSecretValue"},
			Resource:  "*",
			Condition: iampolicy.Map{"ArnNotEquals": iampolicy.Map{"aws:PrincipalArn": readers}},
		}),
	})
	return err
}

// rotate lets Secrets Manager call the function, for this secret alone.
func rotate(ctx *pulumi.Context, name string, secret *secretsmanager.Secret, function string, days int) error {
	permission, err := lambda.NewPermission(ctx, name, &lambda.PermissionArgs{
		Function:  pulumi.String(function),
		Action:    pulumi.String("lambda:InvokeFunction"),
		Principal: pulumi.String("secretsmanager.amazonaws.com"),
		SourceArn: secret.Arn,
	})
	if err != nil {
		return err
	}
	_, err = secretsmanager.NewSecretRotation(ctx, name, &secretsmanager.SecretRotationArgs{
		SecretId:          secret.ID(),
		RotationLambdaArn: pulumi.String(function),
		RotationRules:     secretsmanager.SecretRotationRotationRulesArgs{AutomaticallyAfterDays: pulumi.Int(days)},
	}, pulumi.DependsOn([]pulumi.Resource{permission}))
	return err
}
