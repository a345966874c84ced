/** Stands where a binding points to something that is not there: every use fails and says so. */
export default {
  /**
   * @param {Request} _request
   * @param {unknown} _env
   * @param {{props: {reason: string}}} context
   */
  fetch(_request, _env, { props }) {
    throw new Error(props.reason);
  },
};
