package e2e

import (
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

func secretsOverlap(x *tenant) {
	r := harness.NewReceiver(x, nil)
	w := x.hook(r.URL)
	rotate := func(overlap string) string {
		secret := harness.Read[struct{ Secret string }](x, x.act(w, "secret/rotate", object{"overlap": overlap})).Secret
		x.keep(secret)
		return secret
	}
	last := func() harness.Post {
		x.await(x.publish(1).ID, "delivered")
		posts := r.Posts()
		return posts[len(posts)-1]
	}
	first := w.Secret
	require.NoError(x, last().Verify(first))

	second := rotate("1h")
	p := last()
	require.NoError(x, p.Verify(first))
	require.NoError(x, p.Verify(second))

	third := rotate("0s")
	p = last()
	require.NoError(x, p.Verify(third))
	require.NoError(x, p.Verify(first), "the hour that it was promised has not passed")
	require.Error(x, p.Verify(second))
}
