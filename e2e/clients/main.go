// The follower keeps a copy of all PackageRevisions of a namespace, as programs written in Go do: with client-go's informers
// of whole objects or of their metadata, or with controller-runtime's cache. For each line on its input it prints its copy
// as one line of JSON: resourceVersion and the label "mark" by name. It ends with its input.
//
// Whether informers begin with a list or with a watch that sends the list is up to client-go's own switch in the
// environment, KUBE_FEATURE_WatchListClient.
//
// Two ways follow nothing: "contend" has many change one object at once, "understand" asks what it is told to and says what
// client-go makes of the answers.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

var (
	version  = schema.GroupVersion{Group: "porch.kpt.dev", Version: "v1alpha1"}
	resource = version.WithResource("packagerevisions")
	kind     = version.WithKind("PackageRevision")
)

// A copy returns what is known now.
type copier func() ([]metav1.Object, error)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file that names the server")
	namespace := flag.String("namespace", "", "namespace to follow")
	way := flag.String("way", "informer", "informer, metadata, cache, contend or understand")
	name := flag.String("name", "", "object to contend for")
	flag.Parse()
	crlog.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config.QPS = -1
	switch *way {
	case "contend":
		contend(ctx, config, *namespace, *name)
		return
	case "understand":
		understand(ctx, config)
		return
	}
	copied := follow(ctx, config, *namespace, *way)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		tell(copied)
	}
}

func follow(ctx context.Context, config *rest.Config, namespace, way string) copier {
	switch way {
	case "informer":
		client, err := dynamic.NewForConfig(config)
		check(err)
		factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
		return inform(ctx, factory.ForResource(resource).Informer())
	case "metadata":
		client, err := metadata.NewForConfig(config)
		check(err)
		factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil)
		return inform(ctx, factory.ForResource(resource).Informer())
	case "cache":
		return keep(ctx, config, namespace)
	}
	log.Fatalf("-way %q is none of informer, metadata and cache", way)
	return nil
}

func inform(ctx context.Context, informer toolscache.SharedIndexInformer) copier {
	go informer.Run(ctx.Done())
	toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
	return func() ([]metav1.Object, error) {
		return objects(informer.GetStore().List())
	}
}

func keep(ctx context.Context, config *rest.Config, namespace string) copier {
	options := cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}, Scheme: runtime.NewScheme()}
	kept, err := cache.New(config, options)
	check(err)
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	go func() { check(kept.Start(ctx)) }()
	_, err = kept.GetInformer(ctx, object)
	check(err)
	return func() ([]metav1.Object, error) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(version.WithKind("PackageRevisionList"))
		if err := kept.List(ctx, list); err != nil {
			return nil, err
		}
		var items []metav1.Object
		for i := range list.Items {
			items = append(items, &list.Items[i])
		}
		return items, nil
	}
}

func objects(items []any) ([]metav1.Object, error) {
	var all []metav1.Object
	for _, item := range items {
		object, err := meta.Accessor(item)
		if err != nil {
			return nil, err
		}
		all = append(all, object)
	}
	return all, nil
}

func tell(copied copier) {
	items, err := copied()
	check(err)
	known := map[string][2]string{}
	for _, item := range items {
		known[item.GetName()] = [2]string{item.GetResourceVersion(), item.GetLabels()["mark"]}
	}
	line, err := json.Marshal(known)
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
