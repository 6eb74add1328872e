// A Secret Manager secret, who may read it, and when to rotate it.
//
// Secret Manager only reminds of a rotation, by a message to a topic: whoever
// listens there adds the new version.
package main

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/pubsub"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/secretmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// largest is Secret Manager's limit for a value, in bytes.
const largest = 64 << 10

var (
	secretID = component.NewFormat(`[A-Za-z0-9_-]{1,255}`, "1 to 255 letters, digits, hyphens and underscores")
	// secretText fits everything: a message about another would show it.
	secretText = component.NewFormat(`(?s).*`, "a text of at most 64 KiB")
	timestamp  = component.NewFormat(`[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z`, "a time such as 2030-01-31T06:00:00Z")
)

// settings is one validated configuration.
type settings struct {
	name, value, rotateFirst, rotateTopic string
	readers, regions, keys                []string
	restore, rotate                       int
	protect                               bool
	labels                                component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "name of the secret", config.DefaultName(), secretID),
		value:       config.Text("value", "its value; left out, somebody else adds the versions", "", secretText),
		readers:     config.List("readers", "members that may read its value", formats.Member),
		regions:     config.List("regions", "the only regions it is stored in", formats.Region),
		keys:        config.List("kmsKeys", "what to encrypt with: one in each region, or without `regions` one in `global`; left out, Google's keys", formats.KMSKey),
		restore:     config.Int("restoreDays", "how long a destroyed version can be restored", 7, 1, 1000),
		rotate:      config.Int("rotationDays", "how often the topic is told that it is time for a new version; 0 for never", 0, 0, 3650),
		rotateFirst: config.Text("firstRotation", "when the topic is told so for the first time", "", timestamp.OrUnset()),
		rotateTopic: config.Text("rotationTopic", "the Pub/Sub topic", "", formats.Topic.OrUnset()),
		protect:     config.Bool("deletionProtection", "refuse to delete the secret", true),
		labels:      config.Labels(),
	}
	if len(s.value) > largest {
		config.Reject("value", "must have at most %d bytes, not %d", largest, len(s.value))
	}
	if (s.rotate > 0) != (s.rotateFirst != "") || (s.rotate > 0) != (s.rotateTopic != "") {
		config.Reject("rotationDays", "goes together with firstRotation and rotationTopic")
	}
	if len(s.keys) > 0 {
		for _, place := range s.places() {
			if keyIn(place, s.keys) == "" {
				config.Reject("kmsKeys", "lack one in %s", place)
			}
		}
	}
	return s, config.Err()
}

// places are the locations in which keys have to be.
func (s settings) places() []string {
	if len(s.regions) == 0 {
		return []string{"global"}
	}
	return s.regions
}

func keyIn(place string, keys []string) string {
	for _, key := range keys {
		if strings.Contains(key, "/locations/"+place+"/") {
			return key
		}
	}
	return ""
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	secret, err := newSecret(ctx, s)
	if err != nil {
		return err
	}
	for _, reader := range s.readers {
		if _, err := secretmanager.NewSecretIamMember(ctx, s.name+"-"+reader, &secretmanager.SecretIamMemberArgs{
			SecretId: secret.SecretId,
			Role:     pulumi.String("roles/secretmanager.secretAccessor"),
			Member:   pulumi.String(reader),
		}); err != nil {
			return err
		}
	}
	if s.value != "" {
		version, err := secretmanager.NewSecretVersion(ctx, s.name, &secretmanager.SecretVersionArgs{
			Secret:     secret.ID(),
			SecretData: pulumi.String(s.value),
		})
		if err != nil {
			return err
		}
		ctx.Export("version", version.Name)
	}

	ctx.Export("secret", secret.Name)
	return nil
}

func newSecret(ctx *pulumi.Context, s settings) (*secretmanager.Secret, error) {
	args := &secretmanager.SecretArgs{
		SecretId:           pulumi.String(s.name),
		Replication:        replication(s),
		VersionDestroyTtl:  days(s.restore),
		DeletionProtection: pulumi.Bool(s.protect),
		Labels:             s.labels.Map(),
	}
	if s.rotate == 0 {
		return secretmanager.NewSecret(ctx, s.name, args)
	}
	// Secret Manager tries the topic before it accepts it.
	announce, err := letAnnounce(ctx, s)
	if err != nil {
		return nil, err
	}
	args.Topics = secretmanager.SecretTopicArray{secretmanager.SecretTopicArgs{Name: pulumi.String(s.rotateTopic)}}
	args.Rotation = secretmanager.SecretRotationArgs{
		RotationPeriod:   days(s.rotate),
		NextRotationTime: pulumi.String(s.rotateFirst),
	}
	return secretmanager.NewSecret(ctx, s.name, args,
		pulumi.DependsOn([]pulumi.Resource{announce}),
		// Secret Manager itself moves it on, with every rotation.
		pulumi.IgnoreChanges([]string{"rotation.nextRotationTime"}))
}

// letAnnounce lets Secret Manager's own account publish to the topic.
func letAnnounce(ctx *pulumi.Context, s settings) (pulumi.Resource, error) {
	agent, err := projects.NewServiceIdentity(ctx, s.name, &projects.ServiceIdentityArgs{
		Service: pulumi.String("secretmanager.googleapis.com"),
	})
	if err != nil {
		return nil, err
	}
	return pubsub.NewTopicIAMMember(ctx, s.name, &pubsub.TopicIAMMemberArgs{
		Topic:  pulumi.String(s.rotateTopic),
		Role:   pulumi.String("roles/pubsub.publisher"),
		Member: agent.Member,
	})
}

// replication stores the secret in the given regions, or wherever Google likes,
// encrypted with the key there if one is given.
func replication(s settings) secretmanager.SecretReplicationArgs {
	if len(s.regions) == 0 {
		auto := secretmanager.SecretReplicationAutoArgs{}
		if key := keyIn("global", s.keys); key != "" {
			auto.CustomerManagedEncryption = secretmanager.SecretReplicationAutoCustomerManagedEncryptionArgs{KmsKeyName: pulumi.String(key)}
		}
		return secretmanager.SecretReplicationArgs{Auto: auto}
	}
	var replicas secretmanager.SecretReplicationUserManagedReplicaArray
	for _, region := range s.regions {
		replica := secretmanager.SecretReplicationUserManagedReplicaArgs{Location: pulumi.String(region)}
		if key := keyIn(region, s.keys); key != "" {
			replica.CustomerManagedEncryption = secretmanager.SecretReplicationUserManagedReplicaCustomerManagedEncryptionArgs{KmsKeyName: pulumi.String(key)}
		}
		replicas = append(replicas, replica)
	}
	return secretmanager.SecretReplicationArgs{UserManaged: secretmanager.SecretReplicationUserManagedArgs{Replicas: replicas}}
}

// days is a time as Secret Manager spells it.
func days(n int) pulumi.String {
	return pulumi.String(fmt.Sprintf("%ds", n*component.Day))
}
