// A provider of OpenID Connect (npm's oidc-provider) for a test: everybody is signed in at once as the user whom the test names.
//
// node provider.mjs CLIENT_ID CLIENT_SECRET REDIRECT_URL USER ROLE
// Prints its address as one line. Ends when its standard input does.

import { createServer } from "node:http";
import Provider, { interactionPolicy } from "oidc-provider";

const [client_id, client_secret, redirect_url, user, role] = process.argv.slice(2);

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [redirect_url], response_types: ["code"], grant_types: ["authorization_code"] }],
    cookies: { keys: ["of a test"] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
    // Without its pages: the account is known, and the client has what it asks for.
    interactions: { policy: interactionPolicy.base(), url: (_, { uid }) => `/interaction/${uid}` },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, preferred_username: user, groups: ["everybody", role] }) }),
    loadExistingGrant: async (context) => {
      const grant = new context.oidc.provider.Grant({ clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId });
      grant.addOIDCScope("openid profile");
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    const { pathname } = new URL(request.url, issuer);
    if (!pathname.startsWith("/interaction/")) return answer(request, response);
    return provider.interactionFinished(request, response, { login: { accountId: "account-1" } });
  });
  console.log(`issuer ${issuer}`);
});
process.stdin.on("end", () => process.exit(0)).resume();
