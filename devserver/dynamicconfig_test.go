package devserver

import (
	"os"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"

	"github.com/stretchr/testify/require"
)

func TestDynamicConfig_SettingsReachTheServer(t *testing.T) {
	t.Parallel()

	client, err := dynamicConfig(map[string]any{"history.hostLevelCacheMaxSize": 99})
	require.NoError(t, err)
	c := dynamicconfig.NewCollection(client, log.NewNoopLogger())
	queueType := enumspb.TASK_QUEUE_TYPE_ACTIVITY

	require.True(t, dynamicconfig.MatchingEnableFairness.Get(c)("default", "queue", queueType).New)
	require.Equal(t, 1, dynamicconfig.MatchingNumTaskqueueReadPartitions.Get(c)("default", "queue", queueType))
	require.Equal(t, 1, dynamicconfig.MatchingNumTaskqueueWritePartitions.Get(c)("default", "queue", queueType))
	require.True(t, dynamicconfig.EnableEagerWorkflowStart.Get(c)("default"))
	require.Equal(t, 1, dynamicconfig.VisibilityProcessorMaxPollRPS.Get(c)())
	require.Equal(t, 500, dynamicconfig.VisibilityTaskBatchSize.Get(c)())
	require.False(t, dynamicconfig.EnableServerVersionCheck.Get(c)())
	require.Equal(t, 99, dynamicconfig.HistoryCacheHostLevelMaxSize.Get(c)(), "overridden")
}

// TestDynamicConfig_DeployedSettings: the server understands the settings of deploy/, and we use the same ones.
func TestDynamicConfig_DeployedSettings(t *testing.T) {
	t.Parallel()

	file, err := os.ReadFile("../deploy/temporal/dynamicconfig.yaml")
	require.NoError(t, err)
	deployed := dynamicconfig.LoadYamlFile(file)
	require.NoError(t, deployed.Err())
	require.Empty(t, deployed.Warnings)
	require.NotEmpty(t, deployed.Map)

	ours, err := dynamicConfig(nil)
	require.NoError(t, err)
	for key, values := range deployed.Map {
		require.Equal(t, values, ours.GetValue(key), key)
	}
}
