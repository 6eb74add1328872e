// A Route 53 zone: public and signed with DNSSEC, or private to VPCs.
//
// A signature helps only once the parent zone has the DS record, which is
// therefore an output; until then, signing is harmless.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// keyRegion is the only one whose keys Route 53 signs with.
const keyRegion = "us-east-1"

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		domain      = config.Text("domain", "the zone's domain", "", formats.Domain)
		vpcs        = config.List("vpcs", "VPCs that the zone is private to; without any, it is public", formats.VPC)
		signed      = config.Bool("dnssec", "sign a public zone", len(vpcs) == 0)
		authorities = config.List("certificateAuthorities", "who may issue certificates, such as `amazon.com`; without any, everyone", formats.Domain)
		rejectMail  = config.Bool("rejectMail", "tell everyone that the domain neither sends nor takes mail", false)
		labels      = config.Labels()
	)
	public := func(key string, set bool) {
		if set && len(vpcs) > 0 {
			config.Reject(key, "is for public zones, and vpcs makes this one private")
		}
	}
	public("dnssec", signed)
	public("certificateAuthorities", len(authorities) > 0)
	public("rejectMail", rejectMail)
	if err := config.Err(); err != nil {
		return err
	}

	zone, err := route53.NewZone(ctx, domain, &route53.ZoneArgs{
		Name:         pulumi.String(domain),
		Vpcs:         associations(vpcs),
		ForceDestroy: pulumi.Bool(false),
		Tags:         labels.Map(),
	})
	if err != nil {
		return err
	}
	if err := restrict(ctx, domain, zone, authorities, rejectMail); err != nil {
		return err
	}
	if signed {
		ds, err := sign(ctx, domain, zone, labels)
		if err != nil {
			return err
		}
		ctx.Export("dsRecord", ds)
	}

	ctx.Export("zoneId", zone.ZoneId)
	ctx.Export("nameServers", zone.NameServers)
	return nil
}

func associations(vpcs []string) route53.ZoneVpcArray {
	var all route53.ZoneVpcArray
	for _, vpc := range vpcs {
		all = append(all, route53.ZoneVpcArgs{VpcId: pulumi.String(vpc)})
	}
	return all
}

// restrict says to the world what the domain is not for.
func restrict(ctx *pulumi.Context, domain string, zone *route53.Zone, authorities []string, rejectMail bool) error {
	type record struct {
		label, kind string
		values      []string
	}
	var records []record
	if len(authorities) > 0 {
		caa := record{kind: "CAA"}
		for _, authority := range authorities {
			caa.values = append(caa.values, fmt.Sprintf("0 issue %q", authority))
		}
		records = append(records, caa)
	}
	if rejectMail {
		records = append(records,
			record{kind: "MX", values: []string{"0 ."}},
			record{kind: "TXT", values: []string{"v=spf1 -all"}},
			record{label: "_dmarc.", kind: "TXT", values: []string{"v=DMARC1; p=reject;"}},
			record{label: "*._domainkey.", kind: "TXT", values: []string{"v=DKIM1; p="}})
	}
	for _, r := range records {
		if _, err := route53.NewRecord(ctx, r.kind+"-"+r.label+domain, &route53.RecordArgs{
			ZoneId:  zone.ZoneId,
			Name:    pulumi.String(r.label + domain),
			Type:    pulumi.String(r.kind),
			Ttl:     pulumi.Int(3600),
			Records: pulumi.ToStringArray(r.values),
		}); err != nil {
			return err
		}
	}
	return nil
}

// sign signs the zone with a key of its own, and tells the DS record.
func sign(ctx *pulumi.Context, domain string, zone *route53.Zone, labels component.Labels) (pulumi.StringOutput, error) {
	none := pulumi.StringOutput{}
	key, err := kms.NewKey(ctx, domain, &kms.KeyArgs{
		Description:           pulumi.String("DNSSEC of " + domain),
		CustomerMasterKeySpec: pulumi.String("ECC_NIST_P256"),
		KeyUsage:              pulumi.String("SIGN_VERIFY"),
		DeletionWindowInDays:  pulumi.Int(30),
		Region:                pulumi.String(keyRegion),
		Tags:                  labels.Map(),
	})
	if err != nil {
		return none, err
	}
	policy, err := kms.NewKeyPolicy(ctx, domain, &kms.KeyPolicyArgs{
		KeyId:  key.ID(),
		Policy: signing(zone, key),
		Region: pulumi.String(keyRegion),
	})
	if err != nil {
		return none, err
	}
	signingKey, err := route53.NewKeySigningKey(ctx, domain, &route53.KeySigningKeyArgs{
		HostedZoneId:            zone.ZoneId,
		KeyManagementServiceArn: key.Arn,
		Name:                    pulumi.String("main"),
	}, pulumi.DependsOn([]pulumi.Resource{policy}))
	if err != nil {
		return none, err
	}
	_, err = route53.NewHostedZoneDnsSec(ctx, domain, &route53.HostedZoneDnsSecArgs{HostedZoneId: signingKey.HostedZoneId})
	return signingKey.DsRecord, err
}

// signing lets Route 53 use the key for this zone alone.
func signing(zone *route53.Zone, key *kms.Key) pulumi.StringOutput {
	account, root := iampolicy.Account(key.Arn)
	service := iampolicy.Map{"Service": "dnssec-route53.amazonaws.com"}
	return iampolicy.Document(iampolicy.Statement{
		Sid: "Account", Effect: "Allow", Principal: iampolicy.Map{"AWS": root}, Action: []string{"kms:*"}, Resource: "*",
	}, iampolicy.Statement{
		Sid: "Sign", Effect: "Allow", Principal: service, Resource: "*",
		Action: []string{"kms:DescribeKey", "kms:GetPublicKey", "kms:Sign"},
		Condition: iampolicy.Map{
			"StringEquals": iampolicy.Map{"aws:SourceAccount": account},
			"ArnEquals":    iampolicy.Map{"aws:SourceArn": zone.Arn},
		},
	}, iampolicy.Statement{
		Sid: "SignForRoute53", Effect: "Allow", Principal: service, Resource: "*",
		Action:    []string{"kms:CreateGrant"},
		Condition: iampolicy.Map{"Bool": iampolicy.Map{"kms:GrantIsForAWSResource": "true"}},
	})
}
