import { h } from "../dom.js";
export class AgentView { constructor() { this.element = h("p", {}, "…"); } }
