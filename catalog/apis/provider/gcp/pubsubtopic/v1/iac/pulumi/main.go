// A Pub/Sub topic with a pull subscription for each consumer.
//
// What a consumer keeps failing on moves to a dead letter topic. That one has a
// subscription of its own, without which Pub/Sub would drop what arrives there.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/pubsub"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// longest is for how many days Pub/Sub keeps a message at most.
const longest = 31

var resourceName = component.NewFormat(`[a-z][a-z0-9._-]{2,199}`,
	"3 to 200 lowercase letters, digits, dots, underscores and hyphens, starting with a letter")

// settings is one validated configuration.
type settings struct {
	name, key                                       string
	regions, subscriptions, publishers, subscribers []string
	keep, replay, deadline, attempts                int
	ordered                                         bool
	labels                                          component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:          config.Text("name", "name of the topic", config.DefaultName(), resourceName),
		subscriptions: config.List("subscriptions", "pull subscriptions, one for each consumer", resourceName),
		publishers:    config.List("publishers", "members that may publish", formats.Member),
		subscribers:   config.List("subscribers", "members that may read all the subscriptions", formats.Member),
		keep:          config.Int("keepDays", "how long a message waits for a consumer", 7, 1, longest),
		replay:        config.Int("replayDays", "how long the topic keeps all messages, so that a subscription can be rewound; 0 for not at all", 0, 0, longest),
		deadline:      config.Int("ackDeadlineSeconds", "how long a consumer may work on a message before it is delivered again", 60, 10, 600),
		attempts:      config.Int("deliveryAttempts", "how often a message is delivered before it is a dead letter", 10, 5, 100),
		ordered:       config.Bool("ordered", "deliver messages of the same ordering key in their order", false),
		regions:       config.List("regions", "the only regions in which messages are stored and handled", formats.Region),
		key:           config.Text("kmsKey", "what to encrypt with, if not with Google's key", "", formats.KMSKey.OrUnset()),
		labels:        config.Labels(),
	}
	if len(s.subscribers) > 0 && len(s.subscriptions) == 0 {
		config.Reject("subscribers", "have nothing to read; set subscriptions")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	topic, err := newTopic(ctx, s, s.name)
	if err != nil {
		return err
	}
	for _, publisher := range s.publishers {
		if err := letPublish(ctx, s.name+"-"+publisher, topic, pulumi.String(publisher)); err != nil {
			return err
		}
	}
	if len(s.subscriptions) > 0 {
		if err := subscribe(ctx, s, topic); err != nil {
			return err
		}
	}

	ctx.Export("topic", topic.ID())
	ctx.Export("subscriptions", pulumi.ToStringArray(s.subscriptions))
	return nil
}

func newTopic(ctx *pulumi.Context, s settings, name string) (*pubsub.Topic, error) {
	args := &pubsub.TopicArgs{
		Name:                     pulumi.String(name),
		KmsKeyName:               component.Optional(s.key),
		MessageRetentionDuration: component.Optional(days(s.replay)),
		Labels:                   s.labels.Map(),
	}
	if len(s.regions) > 0 {
		args.MessageStoragePolicy = pubsub.TopicMessageStoragePolicyArgs{
			AllowedPersistenceRegions: pulumi.ToStringArray(s.regions),
			EnforceInTransit:          pulumi.Bool(true),
		}
	}
	return pubsub.NewTopic(ctx, name, args)
}

// subscribe makes the consumers' subscriptions, and what holds their dead
// letters. It is Pub/Sub's own account that moves these, from one to the other.
func subscribe(ctx *pulumi.Context, s settings, topic *pubsub.Topic) error {
	name := s.name + "-dead-letters"
	deadLetters, err := newTopic(ctx, s, name)
	if err != nil {
		return err
	}
	mover, err := projects.NewServiceIdentity(ctx, s.name, &projects.ServiceIdentityArgs{
		Service: pulumi.String("pubsub.googleapis.com"),
	})
	if err != nil {
		return err
	}
	if err := letPublish(ctx, name, deadLetters, mover.Member); err != nil {
		return err
	}
	if _, err := pubsub.NewSubscription(ctx, name, subscription(s, name, deadLetters, longest)); err != nil {
		return err
	}
	for _, name := range s.subscriptions {
		args := subscription(s, name, topic, s.keep)
		args.RetryPolicy = pubsub.SubscriptionRetryPolicyArgs{
			MinimumBackoff: pulumi.String("10s"),
			MaximumBackoff: pulumi.String("600s"),
		}
		args.DeadLetterPolicy = pubsub.SubscriptionDeadLetterPolicyArgs{
			DeadLetterTopic:     deadLetters.ID(),
			MaxDeliveryAttempts: pulumi.Int(s.attempts),
		}
		subscription, err := pubsub.NewSubscription(ctx, name, args)
		if err != nil {
			return err
		}
		if err := letRead(ctx, name+"-dead-letters", subscription, mover.Member); err != nil {
			return err
		}
		for _, subscriber := range s.subscribers {
			if err := letRead(ctx, name+"-"+subscriber, subscription, pulumi.String(subscriber)); err != nil {
				return err
			}
		}
	}

	ctx.Export("deadLetterTopic", deadLetters.ID())
	ctx.Export("deadLetterSubscription", pulumi.String(name))
	return nil
}

func subscription(s settings, name string, topic *pubsub.Topic, keep int) *pubsub.SubscriptionArgs {
	return &pubsub.SubscriptionArgs{
		Name:                     pulumi.String(name),
		Topic:                    topic.ID(),
		AckDeadlineSeconds:       pulumi.Int(s.deadline),
		MessageRetentionDuration: pulumi.String(days(keep)),
		EnableMessageOrdering:    pulumi.Bool(s.ordered),
		// Pub/Sub deletes a subscription that nobody used for a month, with all
		// that waits in it, unless told that it never expires.
		ExpirationPolicy: pubsub.SubscriptionExpirationPolicyArgs{Ttl: pulumi.String("")},
		Labels:           s.labels.Map(),
	}
}

func letPublish(ctx *pulumi.Context, name string, topic *pubsub.Topic, member pulumi.StringInput) error {
	_, err := pubsub.NewTopicIAMMember(ctx, name, &pubsub.TopicIAMMemberArgs{
		Topic:  topic.Name,
		Role:   pulumi.String("roles/pubsub.publisher"),
		Member: member,
	})
	return err
}

func letRead(ctx *pulumi.Context, name string, subscription *pubsub.Subscription, member pulumi.StringInput) error {
	_, err := pubsub.NewSubscriptionIAMMember(ctx, name, &pubsub.SubscriptionIAMMemberArgs{
		Subscription: subscription.Name,
		Role:         pulumi.String("roles/pubsub.subscriber"),
		Member:       member,
	})
	return err
}

// days is a time as Pub/Sub spells it; none is the empty text.
func days(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%ds", n*component.Day)
}
