import { h } from "../dom.js";
export class FeedView { constructor() { this.element = h("p", {}, "…"); } }
