// The plugin pulumi-resource-toyfile, whose one resource is a file with a content.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	toyfile "example.com/iac-catalog/toyfile-sdk"
)

type server struct {
	pulumirpc.UnimplementedResourceProviderServer
}

func main() {
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(grpc *grpc.Server) error {
		pulumirpc.RegisterResourceProviderServer(grpc, &server{})
		return nil
	}})
	if err != nil {
		panic(err)
	}
	// How Pulumi learns where the plugin listens.
	fmt.Println(handle.Port)
	if err := <-handle.Done; err != nil {
		panic(err)
	}
}

func (*server) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: toyfile.Version}, nil
}

func (*server) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (*server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (*server) CheckConfig(_ context.Context, it *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: it.GetNews()}, nil
}

func (*server) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{}, nil
}

func (*server) Check(_ context.Context, it *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: it.GetNews()}, nil
}

func (*server) Diff(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (*server) Create(_ context.Context, it *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	inputs := it.GetProperties()
	path := inputs.GetFields()["path"].GetStringValue()
	content := inputs.GetFields()["content"].GetStringValue()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: path, Properties: inputs}, nil
}

func (*server) Delete(_ context.Context, it *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, os.Remove(it.GetId())
}
