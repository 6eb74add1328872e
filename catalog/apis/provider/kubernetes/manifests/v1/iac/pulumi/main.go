// A folder of manifests in a closed namespace of its own.
//
// The manifests may come from anywhere, so it is the namespace that limits
// what they can do; it stands before the first of their objects.
package main

import (
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	yamlv2 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/yaml/v2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	folder      = component.NewFormat(`[^*?\[]+`, "a folder")
	kubeContext = component.NewFormat(`\S*`, "the name of a context")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("namespace", "the namespace to create", config.DefaultName(), component.DNSLabel)
		where    = config.Text("folder", "folder of the YAML files, relative to the program", "manifests", folder)
		context  = config.Text("context", "context of the kubeconfig; the current one if unset", "", kubeContext)
		standard = config.OneOf("podSecurity", "security standard that every pod must meet", "restricted", "baseline", "privileged")
		senders  = config.List("allowedNamespaces", "other namespaces whose pods may connect, such as that of the ingress controller", component.DNSLabel)
		wait     = config.Bool("wait", "wait until the objects are ready", true)
		labels   = config.Labels()
	)
	files, _ := filepath.Glob(filepath.Join(where, "*.y*ml")) // the pattern is valid: folder has no wildcards
	if len(files) == 0 {
		config.Reject("folder", "there are no YAML files in %s", where)
	}
	if err := config.Err(); err != nil {
		return err
	}

	cluster, err := kubernetes.NewProvider(ctx, name, &kubernetes.ProviderArgs{
		Context:   component.Optional(context),
		Namespace: pulumi.String(name),
	})
	if err != nil {
		return err
	}
	closed, err := closedNamespace(ctx, name, standard, senders, labels, pulumi.Provider(cluster))
	if err != nil {
		return err
	}
	if _, err := yamlv2.NewConfigGroup(ctx, name, &yamlv2.ConfigGroupArgs{
		Files:     pulumi.ToStringArray(files),
		SkipAwait: pulumi.Bool(!wait),
	}, pulumi.Provider(cluster), pulumi.DependsOn(closed)); err != nil {
		return err
	}

	ctx.Export("namespace", pulumi.String(name))
	ctx.Export("files", pulumi.ToStringArray(files))
	return nil
}

// closedNamespace is a namespace, and the policy by which its pods hear from
// each other and from those of the named namespaces only.
func closedNamespace(ctx *pulumi.Context, name, standard string, senders []string, labels component.Labels, cluster pulumi.ResourceOption) ([]pulumi.Resource, error) {
	marks := labels.Map()
	for _, mode := range []string{"enforce", "warn", "audit"} {
		marks["pod-security.kubernetes.io/"+mode] = pulumi.String(standard)
	}
	namespace, err := corev1.NewNamespace(ctx, name, &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(name), Labels: marks},
	}, cluster)
	if err != nil {
		return nil, err
	}
	from := networkingv1.NetworkPolicyPeerArray{networkingv1.NetworkPolicyPeerArgs{PodSelector: metav1.LabelSelectorArgs{}}}
	for _, sender := range senders {
		from = append(from, networkingv1.NetworkPolicyPeerArgs{NamespaceSelector: metav1.LabelSelectorArgs{
			MatchLabels: pulumi.StringMap{"kubernetes.io/metadata.name": pulumi.String(sender)},
		}})
	}
	policy, err := networkingv1.NewNetworkPolicy(ctx, name, &networkingv1.NetworkPolicyArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String("closed"),
			Namespace: namespace.Metadata.Name(),
			Labels:    labels.Map(),
		},
		Spec: networkingv1.NetworkPolicySpecArgs{
			PodSelector: metav1.LabelSelectorArgs{},
			PolicyTypes: pulumi.ToStringArray([]string{"Ingress"}),
			Ingress:     networkingv1.NetworkPolicyIngressRuleArray{networkingv1.NetworkPolicyIngressRuleArgs{From: from}},
		},
	}, cluster)
	return []pulumi.Resource{namespace, policy}, err
}
