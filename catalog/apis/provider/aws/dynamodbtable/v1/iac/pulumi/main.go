// A DynamoDB table that is paid by request.
//
// Attributes of keys are written name:type. Their types are S for texts, N for
// numbers and B for bytes; all other attributes are each item's own affair.
package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/dynamodb"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

const attribute = `[\w.-]{1,255}:[SNB]`

var (
	tableName    = component.NewFormat(`[\w.-]{3,255}`, "3 to 255 letters, digits, dots, hyphens and underscores")
	partitionKey = component.NewFormat(attribute, "an attribute and its type (S, N or B) such as id:S")
	sortKey      = component.NewFormat(`|`+attribute, "an attribute and its type (S, N or B) such as created:N")
	indexFormat  = component.NewFormat(`[\w.-]{3,255}=`+attribute+`(,`+attribute+`)?`, "a name and one or two keys such as by-owner=owner:S,created:N")
	optionalName = component.NewFormat(`|[\w.-]{1,255}`, "the name of an attribute")
	region       = component.NewFormat(`[a-z]{2}(-[a-z]+)+-[0-9]`, "a region such as eu-central-1")
)

// index is the table itself, without a name, or a secondary index.
type index struct{ name, partition, sort string }

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name  = config.Text("name", "the table's name", config.DefaultName(), tableName)
		table = index{
			partition: config.Text("partitionKey", "key by which items are spread", "", partitionKey),
			sort:      config.Text("sortKey", "key that tells apart and orders items with the same partition key", "", sortKey),
		}
		indexes  = parse(config.List("indexes", "global secondary indexes, with all attributes of the items", indexFormat))
		expiry   = config.Text("ttlAttribute", "attribute with the time, in seconds since 1970, at which an item is removed", "", optionalName)
		stream   = config.OneOf("stream", "what a stream of changes tells of an item", "none", "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
		replicas = config.List("replicaRegions", "more regions that have the table; needs the stream `NEW_AND_OLD_IMAGES`", region)
		class    = config.OneOf("tableClass", "`STANDARD` has cheaper requests, `STANDARD_INFREQUENT_ACCESS` cheaper storage", "STANDARD", "STANDARD_INFREQUENT_ACCESS")
		reads    = config.Int("maxReadUnits", "reads in a second, of the table and of each index, after which more are refused; 0 sets no limit, -1 lifts one", 0, -1, 1_000_000)
		writes   = config.Int("maxWriteUnits", "writes in a second, likewise", 0, -1, 1_000_000)
		key      = config.Text("kmsKey", "ARN of the KMS key to encrypt with", "", formats.KMSKey)
		restore  = config.Int("restoreDays", "how far back the table can be restored, to the second", 35, 1, 35)
		protect  = config.Bool("deletionProtection", "refuse to delete the table", true)
		labels   = config.Labels()
	)
	attributes := attributes(config, append(indexes, table))
	if len(replicas) > 0 && stream != "NEW_AND_OLD_IMAGES" {
		config.Reject("stream", "must be NEW_AND_OLD_IMAGES for replicas")
	}
	if len(replicas) > 0 && key != "" {
		config.Reject("kmsKey", "is a key of one region, which replicas cannot use")
	}
	if err := config.Err(); err != nil {
		return err
	}

	args := &dynamodb.TableArgs{
		Name:                      pulumi.String(name),
		Attributes:                attributes,
		HashKey:                   pulumi.String(bare(table.partition)),
		RangeKey:                  component.Optional(bare(table.sort)),
		GlobalSecondaryIndexes:    secondary(indexes, reads, writes),
		BillingMode:               pulumi.String("PAY_PER_REQUEST"),
		TableClass:                pulumi.String(class),
		DeletionProtectionEnabled: pulumi.Bool(protect),
		PointInTimeRecovery: dynamodb.TablePointInTimeRecoveryArgs{
			Enabled:              pulumi.Bool(true),
			RecoveryPeriodInDays: pulumi.Int(restore),
		},
		// Without a key this is the account's key aws/dynamodb, of which
		// CloudTrail records each use, unlike of the key that DynamoDB owns.
		ServerSideEncryption: dynamodb.TableServerSideEncryptionArgs{
			Enabled:   pulumi.Bool(true),
			KmsKeyArn: component.Optional(key),
		},
		Replicas: replicate(replicas),
		Tags:     labels.Map(),
	}
	if reads != 0 || writes != 0 {
		args.OnDemandThroughput = dynamodb.TableOnDemandThroughputArgs{
			MaxReadRequestUnits:  limit(reads),
			MaxWriteRequestUnits: limit(writes),
		}
	}
	if stream != "none" {
		args.StreamEnabled = pulumi.Bool(true)
		args.StreamViewType = pulumi.String(stream)
	}
	if expiry != "" {
		args.Ttl = dynamodb.TableTtlArgs{AttributeName: pulumi.String(expiry), Enabled: pulumi.Bool(true)}
	}
	created, err := dynamodb.NewTable(ctx, name, args)
	if err != nil {
		return err
	}

	ctx.Export("table", created.Name)
	ctx.Export("arn", created.Arn)
	if stream != "none" {
		ctx.Export("streamArn", created.StreamArn)
	}
	return nil
}

func parse(texts []string) []index {
	var indexes []index
	for _, text := range texts {
		name, keys, _ := strings.Cut(text, "=")
		partition, sort, _ := strings.Cut(keys, ",")
		indexes = append(indexes, index{name, partition, sort})
	}
	return indexes
}

// bare is the attribute of a key without its type.
func bare(key string) string {
	name, _, _ := strings.Cut(key, ":")
	return name
}

// attributes are those of all keys: DynamoDB takes no others, and none twice.
func attributes(config *component.Config, indexes []index) dynamodb.TableAttributeArray {
	types := map[string]string{}
	for _, index := range indexes {
		for _, key := range []string{index.partition, index.sort} {
			name, kind, whole := strings.Cut(key, ":")
			if !whole {
				continue
			}
			if other, known := types[name]; known && other != kind {
				config.Reject("indexes", "the attribute %s is once of type %s, once of type %s", name, other, kind)
			}
			types[name] = kind
		}
	}
	var attributes dynamodb.TableAttributeArray
	for _, name := range slices.Sorted(maps.Keys(types)) {
		attributes = append(attributes, dynamodb.TableAttributeArgs{
			Name: pulumi.String(name),
			Type: pulumi.String(types[name]),
		})
	}
	return attributes
}

// secondary gives each index the table's limits, which do not hold for it.
func secondary(indexes []index, reads, writes int) dynamodb.TableGlobalSecondaryIndexArray {
	var all dynamodb.TableGlobalSecondaryIndexArray
	for _, index := range indexes {
		args := dynamodb.TableGlobalSecondaryIndexArgs{
			Name:           pulumi.String(index.name),
			HashKey:        pulumi.String(bare(index.partition)),
			RangeKey:       component.Optional(bare(index.sort)),
			ProjectionType: pulumi.String("ALL"),
		}
		if reads != 0 || writes != 0 {
			args.OnDemandThroughput = dynamodb.TableGlobalSecondaryIndexOnDemandThroughputArgs{
				MaxReadRequestUnits:  limit(reads),
				MaxWriteRequestUnits: limit(writes),
			}
		}
		all = append(all, args)
	}
	return all
}

// limit is unset for 0. It takes -1 to lift a limit: without one, DynamoDB
// keeps what was set before.
func limit(units int) pulumi.IntPtrInput {
	if units == 0 {
		return nil
	}
	return pulumi.Int(units)
}

func replicate(regions []string) dynamodb.TableReplicaTypeArray {
	var replicas dynamodb.TableReplicaTypeArray
	for _, region := range regions {
		replicas = append(replicas, dynamodb.TableReplicaTypeArgs{
			RegionName:          pulumi.String(region),
			PointInTimeRecovery: pulumi.Bool(true),
			PropagateTags:       pulumi.Bool(true),
		})
	}
	return replicas
}
