// A shielded VM without an external address, under an account of its own.
//
// People log in through Identity-Aware Proxy and OS Login, which know who they
// are: there are no SSH keys to hand out and no port that is open to everyone.
package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/compute"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/iap"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// proxy is the network from which Identity-Aware Proxy connects.
const proxy = "35.235.240.0/20"

var (
	machineType = component.NewFormat(`[a-z][a-z0-9]*-[a-z0-9-]+`, "a machine type such as e2-small")
	image       = component.NewFormat(`projects/[^/]+/global/images/(family/)?[^/]+`, "an image such as projects/debian-cloud/global/images/family/debian-12")
	anything    = component.NewFormat(`(?s).*`, "any text")
)

// settings is one validated configuration.
type settings struct {
	name, zone, region, machine, image, disk, key, subnetwork, startup string
	diskGB, snapshots                                                  int
	admins, roles                                                      []string
	protect                                                            bool
	labels                                                             component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:       config.Text("name", "name of the VM, its disk and account", config.DefaultName(), formats.ID),
		subnetwork: config.Text("subnetwork", "the subnetwork it is in", "", formats.Subnetwork),
		zone:       config.Text("zone", "the zone it runs in", "europe-west1-b", formats.Zone),
		machine:    config.Text("machineType", "its size", "e2-small", machineType),
		image:      config.Text("image", "what it boots", "projects/debian-cloud/global/images/family/debian-12", image),
		disk:       config.OneOf("diskType", "kind of disk", "pd-balanced", "pd-ssd", "pd-standard"),
		diskGB:     config.Int("diskSizeGB", "size of the disk", 20, 10, 65536),
		key:        config.Text("kmsKey", "what to encrypt the disk with, if not with Google's key", "", formats.KMSKey.OrUnset()),
		snapshots:  config.Int("snapshotDays", "how long daily snapshots of the disk are kept; 0 makes none", 14, 0, 365),
		startup:    config.Text("startupScript", "what root runs at every boot", "", anything),
		admins:     config.List("administrators", "members that may log in and become root", formats.Member),
		roles:      config.List("roles", "what its account may do in the project", formats.Role),
		protect:    config.Bool("deletionProtection", "refuse to delete the VM", true),
		labels:     config.Labels(),
	}
	s.region = s.zone[:max(0, strings.LastIndex(s.zone, "-"))]
	if s.subnetwork != "" && !formats.InRegion(s.subnetwork, s.region) {
		config.Reject("zone", "is not in the region of the subnetwork")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	account, err := newAccount(ctx, s)
	if err != nil {
		return err
	}
	vm, err := newInstance(ctx, s, account)
	if err != nil {
		return err
	}
	if err := keepSnapshots(ctx, s, vm); err != nil {
		return err
	}
	if len(s.admins) > 0 {
		if err := openSSH(ctx, s, vm, account); err != nil {
			return err
		}
	}
	for _, admin := range s.admins {
		if err := letLogIn(ctx, s.name+"-"+admin, vm, account, pulumi.String(admin)); err != nil {
			return err
		}
	}

	ctx.Export("instance", vm.SelfLink)
	ctx.Export("ip", vm.NetworkInterfaces.Index(pulumi.Int(0)).NetworkIp())
	ctx.Export("serviceAccount", account.Email)
	return nil
}

// newAccount makes an account that writes logs and metrics, besides what is
// asked for. The default account would let the VM change the whole project.
func newAccount(ctx *pulumi.Context, s settings) (*serviceaccount.Account, error) {
	account, err := serviceaccount.NewAccount(ctx, s.name, &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(s.name),
		DisplayName: pulumi.String("VM " + s.name),
	})
	if err != nil {
		return nil, err
	}
	roles := append([]string{"roles/logging.logWriter", "roles/monitoring.metricWriter"}, s.roles...)
	slices.Sort(roles)
	for _, role := range slices.Compact(roles) {
		if _, err := projects.NewIAMMember(ctx, s.name+"-"+role, &projects.IAMMemberArgs{
			Project: account.Project,
			Role:    pulumi.String(role),
			Member:  account.Member,
		}); err != nil {
			return nil, err
		}
	}
	return account, nil
}

func newInstance(ctx *pulumi.Context, s settings, account *serviceaccount.Account) (*compute.Instance, error) {
	metadata := pulumi.StringMap{
		"enable-oslogin":         pulumi.String("TRUE"),
		"block-project-ssh-keys": pulumi.String("TRUE"),
		"serial-port-enable":     pulumi.String("FALSE"),
	}
	// As metadata, for a change of the input of that name replaces the VM.
	if s.startup != "" {
		metadata["startup-script"] = pulumi.String(s.startup)
	}
	return compute.NewInstance(ctx, s.name, &compute.InstanceArgs{
		Name:        pulumi.String(s.name),
		Zone:        pulumi.String(s.zone),
		MachineType: pulumi.String(s.machine),
		BootDisk: compute.InstanceBootDiskArgs{
			InitializeParams: compute.InstanceBootDiskInitializeParamsArgs{
				Image:  pulumi.String(s.image),
				Type:   pulumi.String(s.disk),
				Size:   pulumi.Int(s.diskGB),
				Labels: s.labels.Map(),
			},
			KmsKeySelfLink: component.Optional(s.key),
		},
		NetworkInterfaces: compute.InstanceNetworkInterfaceArray{
			compute.InstanceNetworkInterfaceArgs{Subnetwork: pulumi.String(s.subnetwork)},
		},
		// The roles alone say what the account may do.
		ServiceAccount: compute.InstanceServiceAccountArgs{
			Email:  account.Email,
			Scopes: pulumi.ToStringArray([]string{"cloud-platform"}),
		},
		ShieldedInstanceConfig: compute.InstanceShieldedInstanceConfigArgs{
			EnableSecureBoot:          pulumi.Bool(true),
			EnableVtpm:                pulumi.Bool(true),
			EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		Metadata:               metadata,
		AllowStoppingForUpdate: pulumi.Bool(true),
		DeletionProtection:     pulumi.Bool(s.protect),
		Labels:                 s.labels.Map(),
	})
}

func keepSnapshots(ctx *pulumi.Context, s settings, vm *compute.Instance) error {
	if s.snapshots == 0 {
		return nil
	}
	policy, err := compute.NewResourcePolicy(ctx, s.name, &compute.ResourcePolicyArgs{
		Name:   pulumi.String(s.name),
		Region: pulumi.String(s.region),
		SnapshotSchedulePolicy: compute.ResourcePolicySnapshotSchedulePolicyArgs{
			Schedule: compute.ResourcePolicySnapshotSchedulePolicyScheduleArgs{
				DailySchedule: compute.ResourcePolicySnapshotSchedulePolicyScheduleDailyScheduleArgs{
					DaysInCycle: pulumi.Int(1),
					StartTime:   pulumi.String("00:00"),
				},
			},
			RetentionPolicy: compute.ResourcePolicySnapshotSchedulePolicyRetentionPolicyArgs{
				MaxRetentionDays: pulumi.Int(s.snapshots),
			},
			SnapshotProperties: compute.ResourcePolicySnapshotSchedulePolicySnapshotPropertiesArgs{Labels: s.labels.Map()},
		},
	})
	if err != nil {
		return err
	}
	_, err = compute.NewDiskResourcePolicyAttachment(ctx, s.name, &compute.DiskResourcePolicyAttachmentArgs{
		Name: policy.Name,
		// A boot disk has the name of its VM.
		Disk: vm.Name,
		Zone: pulumi.String(s.zone),
	})
	return err
}

// openSSH lets the proxy reach this VM alone, which the rule knows by its
// account. A shared network takes rules in its own project only.
func openSSH(ctx *pulumi.Context, s settings, vm *compute.Instance, account *serviceaccount.Account) error {
	_, err := compute.NewFirewall(ctx, s.name, &compute.FirewallArgs{
		Name:                  pulumi.String(s.name + "-ssh"),
		Project:               pulumi.String(strings.Split(s.subnetwork, "/")[1]),
		Network:               vm.NetworkInterfaces.Index(pulumi.Int(0)).Network().Elem(),
		SourceRanges:          pulumi.ToStringArray([]string{proxy}),
		TargetServiceAccounts: pulumi.StringArray{account.Email},
		Allows: compute.FirewallAllowArray{
			compute.FirewallAllowArgs{Protocol: pulumi.String("tcp"), Ports: pulumi.ToStringArray([]string{"22"})},
		},
		LogConfig: compute.FirewallLogConfigArgs{Metadata: pulumi.String("INCLUDE_ALL_METADATA")},
	})
	return err
}

// letLogIn gives what a login takes: the way through the proxy, an account in
// the VM, and the right to act as the VM's own, as root there can.
func letLogIn(ctx *pulumi.Context, name string, vm *compute.Instance, account *serviceaccount.Account, member pulumi.String) error {
	_, tunnel := iap.NewTunnelInstanceIAMMember(ctx, name, &iap.TunnelInstanceIAMMemberArgs{
		Instance: vm.Name,
		Zone:     vm.Zone,
		Role:     pulumi.String("roles/iap.tunnelResourceAccessor"),
		Member:   member,
	})
	_, login := compute.NewInstanceIAMMember(ctx, name, &compute.InstanceIAMMemberArgs{
		InstanceName: vm.Name,
		Zone:         vm.Zone,
		Role:         pulumi.String("roles/compute.osAdminLogin"),
		Member:       member,
	})
	_, act := serviceaccount.NewIAMMember(ctx, name, &serviceaccount.IAMMemberArgs{
		ServiceAccountId: account.Name,
		Role:             pulumi.String("roles/iam.serviceAccountUser"),
		Member:           member,
	})
	return errors.Join(tunnel, login, act)
}
