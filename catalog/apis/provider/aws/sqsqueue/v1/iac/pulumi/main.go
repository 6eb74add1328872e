// An encrypted SQS queue with a queue for its dead letters.
//
// What no consumer could process is kept as long as SQS can, instead of being
// delivered until it expires unseen.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

const topicPattern = `arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+`

var (
	topic      = component.NewFormat(topicPattern+`(\.fifo)?`, "the ARN of an SNS topic")
	alarmTopic = component.NewFormat(`|`+topicPattern, "the ARN of an SNS topic that is not FIFO")
)

// settings is one validated configuration.
type settings struct {
	name, key, alarm                       string
	fifo                                   bool
	visibility, delay, retention, receives int
	senders, topics                        []string
	labels                                 component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:       config.Text("name", "the queue's name, without `.fifo`", config.DefaultName(), component.DNSLabel),
		fifo:       config.Bool("fifo", "keep the order within a message group, and deliver once", false),
		key:        config.Text("kmsKey", "ARN of the KMS key to encrypt with; without it, SQS's own", "", formats.KMSKey),
		visibility: config.Int("visibilitySeconds", "how long a consumer has for a message", 30, 1, 43200),
		delay:      config.Int("delaySeconds", "how long a new message is held back", 0, 0, 900),
		retention:  config.Int("retentionDays", "how long a message waits for a consumer", 4, 1, 13),
		receives:   config.Int("maxReceives", "how often a message is delivered before it is a dead letter", 5, 1, 1000),
		senders:    config.List("senders", "roles, users and accounts that may send, besides those whom IAM policies let", formats.Principal),
		topics:     config.List("topics", "SNS topics that may send", topic),
		alarm:      config.Text("alarmTopic", "SNS topic to tell of dead letters", "", alarmTopic),
		labels:     config.Labels(),
	}
	for _, topic := range s.topics {
		if s.fifo && !strings.HasSuffix(topic, ".fifo") {
			config.Reject("topics", "must be FIFO topics for a FIFO queue, not %q", topic)
		}
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	// A dead letter's time counts from when it was sent, not from when it died:
	// the most that SQS allows is more than the queue's own retention.
	dead, err := sqs.NewQueue(ctx, s.name+"-dead", s.queue("-dead", 14))
	if err != nil {
		return err
	}
	args := s.queue("", s.retention)
	args.DelaySeconds = pulumi.Int(s.delay)
	args.RedrivePolicy = pulumi.JSONMarshal(pulumi.Map{
		"deadLetterTargetArn": dead.Arn,
		"maxReceiveCount":     pulumi.Int(s.receives),
	})
	queue, err := sqs.NewQueue(ctx, s.name, args)
	if err != nil {
		return err
	}
	// Without this, any queue of the account could leave its dead letters here.
	if _, err := sqs.NewRedriveAllowPolicy(ctx, s.name, &sqs.RedriveAllowPolicyArgs{
		QueueUrl: dead.ID(),
		RedriveAllowPolicy: pulumi.JSONMarshal(pulumi.Map{
			"redrivePermission": pulumi.String("byQueue"),
			"sourceQueueArns":   pulumi.Array{queue.Arn},
		}),
	}); err != nil {
		return err
	}
	if err := admit(ctx, s.name, queue, s.senders, s.topics); err != nil {
		return err
	}
	if err := admit(ctx, s.name+"-dead", dead, nil, nil); err != nil {
		return err
	}
	if s.alarm != "" {
		if err := watch(ctx, s, dead); err != nil {
			return err
		}
	}

	ctx.Export("url", queue.Url)
	ctx.Export("arn", queue.Arn)
	ctx.Export("deadLetterUrl", dead.Url)
	ctx.Export("deadLetterArn", dead.Arn)
	return nil
}

// queue is what both queues have in common.
func (s settings) queue(suffix string, retentionDays int) *sqs.QueueArgs {
	args := &sqs.QueueArgs{
		Name:                     pulumi.String(s.name + suffix),
		VisibilityTimeoutSeconds: pulumi.Int(s.visibility),
		MessageRetentionSeconds:  pulumi.Int(retentionDays * component.Day),
		// Short polling, the default, answers at once and costs a call each time.
		ReceiveWaitTimeSeconds: pulumi.Int(20),
		Tags:                   s.labels.Map(),
	}
	if s.key == "" {
		args.SqsManagedSseEnabled = pulumi.Bool(true)
	} else {
		args.KmsMasterKeyId = pulumi.String(s.key)
	}
	if s.fifo {
		args.Name = pulumi.String(s.name + suffix + ".fifo")
		args.FifoQueue = pulumi.Bool(true)
		args.ContentBasedDeduplication = pulumi.Bool(true)
		args.DeduplicationScope = pulumi.String("messageGroup")
		args.FifoThroughputLimit = pulumi.String("perMessageGroupId")
	}
	return args
}

// admit lets the senders and topics send, and everyone use TLS only.
func admit(ctx *pulumi.Context, name string, queue *sqs.Queue, senders, topics []string) error {
	statements := []iampolicy.Statement{{
		Sid: "RequireTLS", Effect: "Deny", Principal: "*", Action: []string{"sqs:*"}, Resource: queue.Arn,
		Condition: iampolicy.Map{"Bool": iampolicy.Map{"aws:SecureTransport": "false"}},
	}}
	if len(senders) > 0 {
		statements = append(statements, iampolicy.Statement{
			Sid: "Senders", Effect: "Allow", Principal: iampolicy.Map{"AWS": senders}, Action: []string{"sqs:SendMessage"}, Resource: queue.Arn,
		})
	}
	if len(topics) > 0 {
		statements = append(statements, iampolicy.Statement{
			Sid: "Topics", Effect: "Allow", Principal: iampolicy.Map{"Service": "sns.amazonaws.com"}, Action: []string{"sqs:SendMessage"}, Resource: queue.Arn,
			Condition: iampolicy.Map{"ArnEquals": iampolicy.Map{"aws:SourceArn": topics}},
		})
	}
	_, err := sqs.NewQueuePolicy(ctx, name, &sqs.QueuePolicyArgs{
		QueueUrl: queue.ID(),
		Policy:   iampolicy.Document(statements...),
	})
	return err
}

func watch(ctx *pulumi.Context, s settings, dead *sqs.Queue) error {
	_, err := cloudwatch.NewMetricAlarm(ctx, s.name, &cloudwatch.MetricAlarmArgs{
		AlarmDescription:   pulumi.Sprintf("%s holds messages that nobody could process", dead.Name),
		Namespace:          pulumi.String("AWS/SQS"),
		MetricName:         pulumi.String("ApproximateNumberOfMessagesVisible"),
		Dimensions:         pulumi.StringMap{"QueueName": dead.Name},
		Statistic:          pulumi.String("Maximum"),
		Period:             pulumi.Int(60),
		EvaluationPeriods:  pulumi.Int(1),
		ComparisonOperator: pulumi.String("GreaterThanThreshold"),
		Threshold:          pulumi.Float64(0),
		TreatMissingData:   pulumi.String("notBreaching"),
		AlarmActions:       pulumi.Array{pulumi.String(s.alarm)},
		Tags:               s.labels.Map(),
	})
	return err
}
