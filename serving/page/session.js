// Who is signed in. The key is sent once and not kept: the server answers with a cookie that no script can read.

/** Return { client, roles } of who is signed in; client is null for nobody. */
export const session = async () => (await fetch("./session")).json();

/** Sign in with a key; return "" or what is wrong. */
export async function signIn(key) {
  const response = await fetch("./session", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }),
  });
  return response.ok ? "" : (await response.json()).error;
}

export const signOut = () => fetch("./session", { method: "DELETE" });
