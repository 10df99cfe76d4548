import { h } from "../dom.js";
export class TimelineView { constructor() { this.element = h("p", {}, "…"); } }
