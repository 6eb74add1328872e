// A Deployment that meets the restricted pod security standard, with its
// Service.
package main

import (
	"strings"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	cpu    = component.NewFormat(`[0-9]+m?`, "an amount of CPU such as 250m or 2")
	memory = component.NewFormat(`[0-9]+[MG]i`, "an amount of memory such as 128Mi")
)

// settings is one validated configuration.
type settings struct {
	name, namespace, image, cpu, memory, probe string
	replicas, port                             int
	secrets                                    []string
	labels                                     component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:      config.Text("name", "name of all objects", config.DefaultName(), component.DNSLabel),
		namespace: config.Text("namespace", "an existing namespace", "default", component.DNSLabel),
		image:     config.Text("image", "container image with a tag or digest", "", component.Image),
		replicas:  config.Int("replicas", "number of pods; from 2 on a disruption budget lets one go at a time", 2, 1, 100),
		port:      config.Int("port", "the container's HTTP port; the Service has port 80", 8080, 1024, 65535),
		probe:     config.Text("probePath", "path of the liveness and readiness probes", "/", component.URLPath),
		cpu:       config.Text("cpu", "CPU request", "100m", cpu),
		memory:    config.Text("memory", "memory request and limit", "128Mi", memory),
		secrets:   config.List("secrets", "Secrets whose keys become environment variables", component.DNSLabel),
		labels:    config.Labels(),
	}
	if strings.HasSuffix(s.image, ":latest") {
		config.Reject("image", "needs another tag, as latest is a different image tomorrow")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	selector := pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(s.name)}
	labels := s.labels.Map()
	labels["app.kubernetes.io/name"] = selector["app.kubernetes.io/name"]
	meta := metav1.ObjectMetaArgs{
		Name:      pulumi.String(s.name),
		Namespace: pulumi.String(s.namespace),
		Labels:    labels,
	}

	// An account of its own, so that no role given to another program's pods
	// reaches these.
	account, err := corev1.NewServiceAccount(ctx, s.name, &corev1.ServiceAccountArgs{
		Metadata:                     meta,
		AutomountServiceAccountToken: pulumi.Bool(false),
	})
	if err != nil {
		return err
	}
	deployment, err := appsv1.NewDeployment(ctx, s.name, &appsv1.DeploymentArgs{
		Metadata: meta,
		Spec: appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(s.replicas),
			Selector: metav1.LabelSelectorArgs{MatchLabels: selector},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels},
				Spec: corev1.PodSpecArgs{
					ServiceAccountName:           account.Metadata.Name().Elem(),
					AutomountServiceAccountToken: pulumi.Bool(false),
					SecurityContext: corev1.PodSecurityContextArgs{
						RunAsNonRoot:   pulumi.Bool(true),
						SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
					},
					Containers: corev1.ContainerArray{container(s)},
				},
			},
		},
	})
	if err != nil {
		return err
	}
	service, err := corev1.NewService(ctx, s.name, &corev1.ServiceArgs{
		Metadata: meta,
		Spec: corev1.ServiceSpecArgs{
			Type:     pulumi.String("ClusterIP"),
			Selector: selector,
			Ports:    corev1.ServicePortArray{corev1.ServicePortArgs{Port: pulumi.Int(80), TargetPort: pulumi.String("http")}},
		},
	})
	if err != nil {
		return err
	}
	// With a single replica a budget would only block the draining of nodes.
	if s.replicas > 1 {
		if _, err := policyv1.NewPodDisruptionBudget(ctx, s.name, &policyv1.PodDisruptionBudgetArgs{
			Metadata: meta,
			Spec: policyv1.PodDisruptionBudgetSpecArgs{
				MaxUnavailable: pulumi.Int(1),
				Selector:       metav1.LabelSelectorArgs{MatchLabels: selector},
			},
		}); err != nil {
			return err
		}
	}

	ctx.Export("deployment", deployment.Metadata.Name())
	ctx.Export("service", pulumi.Sprintf("%s.%s", service.Metadata.Name().Elem(), s.namespace))
	return nil
}

func container(s settings) corev1.ContainerArgs {
	probe := corev1.ProbeArgs{HttpGet: corev1.HTTPGetActionArgs{Path: pulumi.String(s.probe), Port: pulumi.String("http")}}
	amounts := pulumi.StringMap{"cpu": pulumi.String(s.cpu), "memory": pulumi.String(s.memory)}
	var env corev1.EnvFromSourceArray
	for _, secret := range s.secrets {
		env = append(env, corev1.EnvFromSourceArgs{SecretRef: corev1.SecretEnvSourceArgs{Name: pulumi.String(secret)}})
	}
	return corev1.ContainerArgs{
		Name:    pulumi.String("main"),
		Image:   pulumi.String(s.image),
		Ports:   corev1.ContainerPortArray{corev1.ContainerPortArgs{Name: pulumi.String("http"), ContainerPort: pulumi.Int(s.port)}},
		EnvFrom: env,
		// CPU has no limit: throttling slows a pod down even on an idle node.
		Resources: corev1.ResourceRequirementsArgs{
			Requests: amounts,
			Limits:   pulumi.StringMap{"memory": amounts["memory"]},
		},
		ReadinessProbe: probe,
		LivenessProbe:  probe,
		SecurityContext: corev1.SecurityContextArgs{
			AllowPrivilegeEscalation: pulumi.Bool(false),
			ReadOnlyRootFilesystem:   pulumi.Bool(true),
			Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
		},
	}
}
