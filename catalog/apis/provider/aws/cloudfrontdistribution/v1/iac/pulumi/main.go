// A CloudFront distribution before a private bucket or a web server.
//
// Viewers have TLS, HTTP/3 and headers that make browsers careful. A bucket
// lets nobody in but the distribution; a web server says what may be cached.
package main

import (
	"regexp"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudfront"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// Policies that AWS manages, the same in all accounts.
const (
	cachingOptimized          = "658327ea-f89d-4fab-a63d-7e88639e58f6"
	allViewerExceptHostHeader = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
)

const (
	originID = "origin"
	year     = 365 * component.Day
)

var (
	bucketDomain = regexp.MustCompile(`^(.+)\.s3[.-][a-z0-9-]+\.amazonaws\.com$`)
	certificate  = component.NewFormat(`|arn:aws:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]+`, "the ARN of an ACM certificate in us-east-1")
	webACL       = component.NewFormat(`|arn:aws:wafv2:us-east-1:[0-9]{12}:global/webacl/\S+`, "the ARN of a WAF web ACL for CloudFront")
)

// settings is one validated configuration.
type settings struct {
	name, origin, certificate, zone, priceClass, webACL string
	aliases                                             []string
	singlePage                                          bool
	labels                                              component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "start of the names of the policies; CloudFront names the distribution itself", config.DefaultName(), formats.Name),
		origin:      config.Text("origin", "domain of a web server, or of a bucket, such as `shop.s3.eu-west-1.amazonaws.com`", "", formats.Domain),
		aliases:     config.List("aliases", "hosts that it serves, besides CloudFront's own", formats.HostName),
		certificate: config.Text("certificateArn", "ARN of the aliases' certificate, in us-east-1", "", certificate),
		zone:        config.Text("zoneId", "Route 53 zone that gets the aliases' records", "", formats.Zone),
		singlePage:  config.Bool("singlePage", "answer with a bucket's `index.html` where it has no object", false),
		priceClass:  config.OneOf("priceClass", "where it is served from: `100` North America and Europe, `200` more, `All` everywhere", "PriceClass_100", "PriceClass_200", "PriceClass_All"),
		webACL:      config.Text("webAclArn", "ARN of the WAF web ACL that requests must pass", "", webACL),
		labels:      config.Labels(),
	}
	if len(s.aliases) > 0 && s.certificate == "" {
		config.Reject("certificateArn", "is not set, and CloudFront's own certificate is not for aliases")
	}
	if len(s.aliases) == 0 && s.certificate != "" {
		config.Reject("aliases", "is not set, and certificateArn is for aliases only")
	}
	if len(s.aliases) == 0 && s.zone != "" {
		config.Reject("aliases", "is not set, and zoneId is for their records")
	}
	if s.singlePage && s.bucket() == "" {
		config.Reject("singlePage", "is for buckets, and origin is a web server")
	}
	return s, config.Err()
}

// bucket is the origin's, or empty if that is a web server.
func (s settings) bucket() string {
	if match := bucketDomain.FindStringSubmatch(s.origin); match != nil {
		return match[1]
	}
	return ""
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	headers, err := newHeaders(ctx, s.name)
	if err != nil {
		return err
	}
	args := &cloudfront.DistributionArgs{
		Comment:           pulumi.String(s.name),
		Enabled:           pulumi.Bool(true),
		IsIpv6Enabled:     pulumi.Bool(true),
		HttpVersion:       pulumi.String("http2and3"),
		PriceClass:        pulumi.String(s.priceClass),
		Aliases:           pulumi.ToStringArray(s.aliases),
		ViewerCertificate: s.viewerCertificate(),
		WebAclId:          component.Optional(s.webACL),
		Restrictions: cloudfront.DistributionRestrictionsArgs{
			GeoRestriction: cloudfront.DistributionRestrictionsGeoRestrictionArgs{RestrictionType: pulumi.String("none")},
		},
		Tags: s.labels.Map(),
	}
	if s.bucket() != "" {
		err = s.serveBucket(ctx, args, headers)
	} else {
		err = s.serveServer(ctx, args, headers)
	}
	if err != nil {
		return err
	}
	distribution, err := cloudfront.NewDistribution(ctx, s.name, args)
	if err != nil {
		return err
	}
	if s.zone != "" {
		if err := s.newRecords(ctx, distribution); err != nil {
			return err
		}
	}

	ctx.Export("distributionId", distribution.ID())
	ctx.Export("domainName", distribution.DomainName)
	if bucket := s.bucket(); bucket != "" {
		ctx.Export("bucketPolicy", iampolicy.Document(iampolicy.Statement{
			Sid:       "CloudFront",
			Effect:    "Allow",
			Principal: iampolicy.Map{"Service": "cloudfront.amazonaws.com"},
			Action:    []string{"s3:GetObject"},
			Resource:  "arn:aws:s3:::" + bucket + "/*",
			Condition: iampolicy.Map{"ArnEquals": iampolicy.Map{"aws:SourceArn": distribution.Arn}},
		}))
	}
	return nil
}

func (s settings) viewerCertificate() cloudfront.DistributionViewerCertificateArgs {
	if s.certificate == "" {
		return cloudfront.DistributionViewerCertificateArgs{CloudfrontDefaultCertificate: pulumi.Bool(true)}
	}
	return cloudfront.DistributionViewerCertificateArgs{
		AcmCertificateArn:      pulumi.String(s.certificate),
		MinimumProtocolVersion: pulumi.String("TLSv1.2_2021"),
		SslSupportMethod:       pulumi.String("sni-only"),
	}
}

func (s settings) newRecords(ctx *pulumi.Context, distribution *cloudfront.Distribution) error {
	for _, alias := range s.aliases {
		for _, kind := range []string{"A", "AAAA"} {
			if _, err := route53.NewRecord(ctx, kind+"-"+alias, &route53.RecordArgs{
				ZoneId: pulumi.String(s.zone),
				Name:   pulumi.String(alias),
				Type:   pulumi.String(kind),
				Aliases: route53.RecordAliasArray{route53.RecordAliasArgs{
					Name:                 distribution.DomainName,
					ZoneId:               distribution.HostedZoneId,
					EvaluateTargetHealth: pulumi.Bool(false),
				}},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
