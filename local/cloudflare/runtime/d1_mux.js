/** Carries each D1 binding's queries to the host; the binding's props say which database it is. */
export default {
  /**
   * @param {Request} request
   * @param {{HOST: Fetcher}} env
   * @param {{props: {id: string}}} context
   */
  fetch(request, env, { props }) {
    const headers = new Headers(request.headers);
    headers.set("x-d1-id", props.id);
    headers.delete("x-d1-inside");
    return env.HOST.fetch(request, { headers });
  },
};
